//! Reads the counts of a second, which are most of a long journal: as the tools write them they are taken digit by digit, and
//! whatever else is JSON all the same is left to the JSON library. It must not accept more than that library does.

use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;

/// Pairs of an edge and a count.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u64, u64)>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    match Digits(text.as_bytes()).pairs() {
        Some(pairs) => Ok(pairs),
        None => serde_json::from_str(text).map_err(serde::de::Error::custom),
    }
}

/// What is left of a text.
struct Digits<'t>(&'t [u8]);

impl Digits<'_> {
    /// `[[1,2],[3,4]]`, without a space; `None` for anything else.
    fn pairs(mut self) -> Option<Vec<(u64, u64)>> {
        // The shortest pair has six bytes, those of an edge in milliseconds about ten.
        let mut pairs = Vec::with_capacity(self.0.len() / 9);
        self.take(b'[')?;
        if self.0 == b"]" {
            return Some(pairs);
        }
        loop {
            self.take(b'[')?;
            let edge = self.number()?;
            self.take(b',')?;
            let count = self.number()?;
            self.take(b']')?;
            pairs.push((edge, count));
            if self.0 == b"]" {
                return Some(pairs);
            }
            self.take(b',')?;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == byte).then_some(())
    }

    /// A number as JSON has it: no zero before another digit.
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        if digits == 0 || (digits > 1 && number[0] == b'0') {
            return None;
        }
        number.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Quick {
        #[serde(deserialize_with = "super::read")]
        counts: Vec<(u64, u64)>,
    }

    #[derive(Deserialize)]
    struct Plain {
        counts: Vec<(u64, u64)>,
    }

    #[test]
    fn whatever_stands_there_is_read_as_the_library_reads_it() {
        for counts in [
            "[]",
            "[[1,2]]",
            "[[0,0],[18446744073709551615,7]]",
            " [ [1 , 2],\n[3,4] ] ",
            "[[1,2],[3,4]]",
            "[[18446744073709551616,1]]",
            "[[01,2]]",
            "[[-1,2]]",
            "[[1.5,2]]",
            "[[1e3,2]]",
            "[[1,2],]",
            "[[1,2,3]]",
            "[[1]]",
            "[1,2]",
            "[[1,2]",
            "null",
            "{}",
            "\"[]\"",
            "[[,2]]",
            "[[1,]]",
            "[[]]",
            "",
        ] {
            let text = format!("{{\"counts\":{counts}}}");
            let (quick, plain) = (serde_json::from_str::<Quick>(&text), serde_json::from_str::<Plain>(&text));
            assert_eq!(quick.ok().map(|quick| quick.counts), plain.ok().map(|plain| plain.counts), "{counts}");
        }
    }
}
