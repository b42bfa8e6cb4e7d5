//! Where a PDU ends in a stream of bytes: PDUs stand there back to back, each as long as its header
//! says.
//!
//! A stream whose next bytes are no PDU has lost its step for good, so this is strict where
//! [`decode`](super::decode) leaves it at one bad datagram. What a PDU holds is not looked at.

use super::Malformed;
use super::header::{FRAME_BYTES_MAX, HEADER_BYTES, Kind, PROTOCOL_VERSION};

/// How long the PDU at the front of `bytes` is; `None` if more bytes are needed to tell or to have it
/// whole.
///
/// # Errors
///
/// [`Malformed`] as soon as it shows that this is no PDU: by its version (a HELLO may be of any, for it
/// to be refused by one that its sender understands) or its length. The checksum is the reader's business.
pub fn frame(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if let [version, kind, ..] = bytes
        && *version != PROTOCOL_VERSION
        && *kind != Kind::Hello.number()
    {
        return Err(Malformed::Version { got: *version });
    }
    let Some(length) = bytes.get(4..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let whole = length.saturating_add(HEADER_BYTES);
    if whole > FRAME_BYTES_MAX {
        return Err(Malformed::Length { got: whole });
    }
    Ok((whole <= bytes.len()).then_some(whole))
}

/// How many bytes of `bytes` are whole PDUs.
///
/// # Errors
///
/// As [`frame`], with how many bytes are whole PDUs before the first that is none.
pub fn frames(bytes: &[u8]) -> Result<usize, (usize, Malformed)> {
    let mut whole = 0_usize;
    loop {
        let rest = bytes.get(whole..).unwrap_or_default();
        match frame(rest) {
            Ok(Some(length)) => whole = whole.saturating_add(length),
            Ok(None) => return Ok(whole),
            Err(malformed) => return Err((whole, malformed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bye, ByeReason, Envelope, Pdu, encode};
    use super::*;

    fn bye() -> Vec<u8> {
        let mut bytes = Vec::new();
        let pdu = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
        encode(&Envelope::default(), &pdu, &mut bytes);
        bytes
    }

    #[test]
    fn a_cut_at_every_byte_leaves_the_pdus_before_it() {
        let one = bye();
        let three = [one.clone(), one.clone(), one.clone()].concat();
        for cut in 0..=three.len() {
            assert_eq!(frames(&three[..cut]), Ok(cut / one.len() * one.len()), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_pdu_shows_as_soon_as_it_can() {
        let good = bye();
        let other = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(frame(&other(0, 9)[..2]), Err(Malformed::Version { got: 9 }));
        assert_eq!(frame(b"GET / HTTP"), Err(Malformed::Version { got: b'G' }));
        let long = HEADER_BYTES + 0x01_0004;
        assert_eq!(frame(&other(6, 1)[..8]), Err(Malformed::Length { got: long }));
        assert_eq!(frame(&other(7, 0xff)[..7]), Ok(None), "the length is not whole");
        let both = [good.clone(), other(0, 9)].concat();
        assert_eq!(frames(&both), Err((good.len(), Malformed::Version { got: 9 })));
    }

    #[test]
    fn a_hello_of_another_version_passes() {
        let mut bytes = bye();
        bytes[..2].copy_from_slice(&[9, Kind::Hello.number()]);
        assert_eq!(frame(&bytes), Ok(Some(bytes.len())));
    }
}
