//! What is seen of a server: frames whole and in pieces, and what it said before it was gone.

use tokio::io::AsyncWriteExt as _;

use super::*;

/// A frame whose payload nobody looks at.
fn frame(kind: u8, flags: u8, stream: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut frame = vec![0, high, low, kind, flags, 0, 0, 0, stream];
    frame.resize(FRAME_HEAD + usize::from(length), 0xff);
    frame
}

/// The same frame so many times, behind the settings that HTTP/2 begins with.
fn repeated(times: u32, again: &[u8]) -> Vec<u8> {
    [frame(SETTINGS, 0, 0, 6), again.repeat(times as usize)].concat()
}

/// What is wrong with these bytes, in whatever pieces they come.
fn wrong_with(bytes: &[u8]) -> Option<Wrong> {
    let of_pieces = |size: usize| {
        let (mut frames, seen) = (Frames::default(), Seen::default());
        bytes.chunks(size).for_each(|piece| frames.take(piece, &seen));
        seen.wrong()
    };
    let whole = of_pieces(bytes.len());
    for size in [1, 4, 9, 11] {
        assert_eq!(of_pieces(size), whole, "in pieces of {size} bytes");
    }
    whole
}

#[test]
fn heads_before_an_answer_have_a_bound_for_each_stream() {
    let head = frame(HEADERS, 0x4, 1, 5);
    // The last one is the answer's.
    assert_eq!(wrong_with(&repeated(MOST_INFORMATIONAL + 1, &head)), None);
    assert_eq!(wrong_with(&repeated(MOST_INFORMATIONAL + 2, &head)), Some(Wrong::Informational));
    let two_streams = [head.clone(), frame(HEADERS, 0x4, 3, 5)].concat();
    assert_eq!(wrong_with(&repeated(MOST_INFORMATIONAL, &two_streams)), None);
    for end in [frame(DATA, END_STREAM, 1, 0), frame(HEADERS, END_STREAM, 1, 5), frame(RST_STREAM, 0, 1, 4)] {
        let ended = [head.repeat(20), end].concat();
        assert_eq!(wrong_with(&repeated(20, &ended)), None, "an answer that was whole is forgotten");
    }
    let large = frame(HEADERS, 0, 1, 100);
    let continued = [large, frame(CONTINUATION, 0x4, 1, 16_000)].concat();
    assert_eq!(wrong_with(&repeated(4, &continued)), None);
    assert_eq!(wrong_with(&repeated(6, &continued)), Some(Wrong::Informational));
}

#[test]
fn frames_that_bring_nothing_have_a_bound() {
    let ping = frame(0x6, 0, 0, 8);
    // The settings are one of them.
    assert_eq!(wrong_with(&repeated(MOST_IDLE - 1, &ping)), None);
    assert_eq!(wrong_with(&repeated(MOST_IDLE, &ping)), Some(Wrong::Idle));
    assert_eq!(wrong_with(&repeated(MOST_IDLE, &frame(DATA, 0, 1, 0))), Some(Wrong::Idle), "nor do empty bodies");
    let with_data = [ping.repeat(500), frame(DATA, 0, 1, 1)].concat();
    assert_eq!(wrong_with(&repeated(10, &with_data)), None);
    let seen = Seen::default();
    for _ in 0..10 {
        seen.begin();
        (0..500).for_each(|_| seen.nothing_came());
    }
    assert_eq!(seen.wrong(), None, "a request is a new beginning");
}

#[test]
fn what_does_not_begin_with_settings_is_no_http2() {
    for start in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x", &[0x15, 3, 1, 0, 2], &[0, 0, 8, 6]] {
        assert_eq!(wrong_with(start), Some(Wrong::NotHttp2), "{start:?}");
    }
    for start in [&[0_u8, 0][..], frame(SETTINGS, 0, 0, 0).as_slice()] {
        assert_eq!(wrong_with(start), None, "{start:?}");
    }
}

/// The end of a connection that cannot be written to any more; what was said on it can be read at the second look.
struct Gone {
    said: &'static [u8],
    looked: bool,
}

impl AsyncRead for Gone {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.looked, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (told, rest) = self.said.split_at(self.said.len().min(buffer.remaining()));
        buffer.put_slice(told);
        self.said = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_a_server_said_before_it_was_gone_is_why_it_is_gone() {
    for (said, wrong) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Some(Wrong::NotHttp2)),
        (b"", None),
        (&[0, 0, 0, 4, 0, 0, 0, 0, 0], None),
    ] {
        let seen = Arc::<Seen>::default();
        let mut stream = Watched::http2(Gone { said, looked: false }, Arc::clone(&seen));
        let error = stream.write_all(b"PRI").await.unwrap_err();
        assert_eq!(seen.wrong(), wrong, "{said:?}");
        match wrong {
            Some(wrong) => assert_eq!(error.to_string(), wrong.to_string()),
            None => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{said:?}"),
        }
    }
}
