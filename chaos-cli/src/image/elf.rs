//! Whether a program needs nothing but the kernel, read from its ELF header. Pure.

/// The processor that a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    Amd64,
    Arm64,
}

impl Machine {
    /// Its name in image configurations.
    pub(crate) const fn as_oci(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Why a program cannot be alone in an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStatic {
    /// It is no 64-bit program for Linux on amd64 or arm64.
    #[error("it is no 64-bit Linux program for amd64 or arm64")]
    NoProgram,
    /// It asks for a dynamic loader, which the image has not.
    #[error("it needs a dynamic loader and shared libraries")]
    Dynamic,
}

/// Type of the program header that names the dynamic loader.
const INTERPRETER: u32 = 3;

/// The machine that a static program is for.
pub(crate) fn machine_of_static(program: &[u8]) -> Result<Machine, NotStatic> {
    machine(program).ok_or(NotStatic::NoProgram)?.ok_or(NotStatic::Dynamic)
}

/// `None`: this is no such program at all; `Some(None)`: it is a dynamic one.
#[expect(clippy::option_option, reason = "unreadable, dynamic, static: three different answers")]
fn machine(program: &[u8]) -> Option<Option<Machine>> {
    // Magic number, 64 bits, little endian.
    program.strip_prefix(b"\x7fELF\x02\x01")?;
    let machine = match u16_at(program, 18)? {
        62 => Machine::Amd64,
        183 => Machine::Arm64,
        _ => return None,
    };
    let (start, size, count) = (u64_at(program, 32)?, u16_at(program, 54)?, u16_at(program, 56)?);
    for index in 0..u64::from(count) {
        let at = start.checked_add(index.checked_mul(u64::from(size))?)?;
        if u32_at(program, usize::try_from(at).ok()?)? == INTERPRETER {
            return Some(None);
        }
    }
    Some(Some(machine))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
