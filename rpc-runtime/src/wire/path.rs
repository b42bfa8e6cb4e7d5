//! PROBE, PROBED: how long may a datagram be between us?
//!
//! Both are padded to the length that they ask about and stand alone in their datagram: RFC 8899,
//! section 4.1; RFC 9000, section 14.4.

use super::field::Field as _;
use super::{HEADER_BYTES, Malformed};

/// A PDU of this layout, filled up to the length that it names.
macro_rules! padded_pdu {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            /// Bytes of the fixed part.
            pub const LEN: usize = 24;

            pub(super) fn encode(&self, out: &mut Vec<u8>) {
                let end = out.len().saturating_add(self.body_bytes());
                $(self.$field.write(out);)*
                if out.len() < end {
                    out.resize(end, 0);
                }
            }

            pub(super) fn decode(body: &[u8]) -> Result<Self, Malformed> {
                let rest = body;
                $(let ($field, rest) = <$kind>::read(rest, stringify!($field))?;)*
                let _padding = rest;
                let probe = Self { $($field),* };
                if probe.body_bytes() != body.len() {
                    return Err(Malformed::Field { field: "bytes" });
                }
                Ok(probe)
            }

            fn body_bytes(&self) -> usize {
                usize::try_from(self.bytes).unwrap_or(usize::MAX).saturating_sub(HEADER_BYTES)
            }
        }
    };
}

padded_pdu! {
    /// PROBE, client to server: does a datagram of this length come, and back?
    ///
    /// | offset | bytes | field     | unit |
    /// |-------:|------:|-----------|------|
    /// |      0 |     8 | `stamp`   | the client's, repeated in the answer |
    /// |      8 |     4 | `bytes`   | of this PDU, header and all, which is alone in its datagram |
    /// |     12 |     4 | `carried` | the longest that came back; 0 none |
    /// |     16 |     8 | `token`   | of the answer that was as long |
    /// |     24 |       | `padding` | 0    |
    Probe {
        /// Opaque to the server; the answer repeats it.
        stamp: u64,
        /// Bytes of this PDU, header and all.
        bytes: u32,
        /// The longest datagram that came back; 0 if none has.
        carried: u32,
        /// What the answer of that length said, which only who received it knows.
        token: u64,
    }
}

padded_pdu! {
    /// PROBED, server to client: it came. Exactly as long as what it answers.
    ///
    /// | offset | bytes | field     | unit |
    /// |-------:|------:|-----------|------|
    /// |      0 |     8 | `stamp`   | the PROBE's |
    /// |      8 |     4 | `bytes`   | of this PDU, header and all, which is alone in its datagram |
    /// |     12 |     4 | `carried` | the longest that the server sends to this client; 0: as before any probe |
    /// |     16 |     8 | `token`   | drawn from session, address and length |
    /// |     24 |       | `padding` | 0    |
    Probed {
        /// The PROBE's.
        stamp: u64,
        /// Bytes of this PDU, header and all.
        bytes: u32,
        /// What the server goes by.
        carried: u32,
        /// To be repeated by who goes by this length.
        token: u64,
    }
}
