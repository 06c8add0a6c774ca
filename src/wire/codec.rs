//! The settings by which messages are wrapped and unwrapped: keys, label, compression.
//!
//! Encryption is AES in GCM mode from the `aes-gcm` crate. One keyring may hold keys of 128, 192
//! and 256 bits. Version 1 of the format is written; version 0, which pads like PKCS#7, is read as
//! well. Each key is expanded into its cipher once, and keys and ciphers are wiped when they are
//! dropped.

use super::Refusal;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit, aes::Aes192};
use base64::Engine;
use base64::alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::PAD;
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

type Aes192Gcm = AesGcm<Aes192, U12>;

/// The length of a nonce in bytes.
pub(super) const NONCE_LEN: usize = 12;
/// The length of an authentication tag in bytes.
const TAG_LEN: usize = 16;
/// The length of the blocks that version 0 pads to.
const BLOCK_LEN: usize = 16;
/// The number of bytes that version 1 adds: version byte, nonce, tag.
pub const SEAL_LEN: usize = 1 + NONCE_LEN + TAG_LEN;

/// The base64 of keys. The bits that fill up the last character may have any value, as in Go: stock
/// agents accept such keys, so they are in use.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// A key of 16, 24 or 32 bytes. It is wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// Makes a key of 16, 24 or 32 bytes, or returns `None` for any other length.
    pub fn new(bytes: &[u8]) -> Option<Key> {
        matches!(bytes.len(), 16 | 24 | 32).then(|| Key(bytes.to_vec()))
    }

    /// Reads a key from base64. Line breaks anywhere in the text are ignored, as by Serf: a key
    /// that was read from a file often ends with a line break. Returns `None` if the text is not
    /// base64 of 16, 24 or 32 bytes.
    pub fn from_base64(text: &str) -> Option<Key> {
        let text = Zeroizing::new(text.replace(['\r', '\n'], ""));
        let bytes = Zeroizing::new(KEY_BASE64.decode(&*text).ok()?);
        Key::new(&bytes)
    }

    /// Returns the key in base64. The text is wiped from memory when it is dropped.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(KEY_BASE64.encode(&self.0))
    }

    /// Returns the bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Shows that this is a key, but not its bytes.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(..)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A cipher expanded from a key.
enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<Aes192Gcm>),
    Aes256(Box<Aes256Gcm>),
}

impl Cipher {
    /// Expands the key; `None` for a length that [`Key::new`] refuses.
    fn new(key: &Key) -> Option<Cipher> {
        let bytes = key.as_bytes();
        Some(match bytes.len() {
            16 => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(bytes).ok()?)),
            24 => Cipher::Aes192(Box::new(Aes192Gcm::new_from_slice(bytes).ok()?)),
            _ => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(bytes).ok()?)),
        })
    }

    /// Encrypts `text` in place and returns its tag, or `None` for more than 64 GiB.
    fn encrypt(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> Option<[u8; 16]> {
        let (nonce, text) = (nonce.into(), text.into());
        let tag = match self {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
            Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
        };
        tag.ok().map(Into::into)
    }

    /// Decrypts `text` in place. Returns true if the tag is right; if not, `text` is unchanged.
    fn decrypt(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8], tag: [u8; 16]) -> bool {
        let (nonce, text, tag) = (nonce.into(), text.into(), tag.into());
        match self {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(&nonce, aad, text, &tag),
            Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(&nonce, aad, text, &tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(&nonce, aad, text, &tag),
        }
        .is_ok()
    }
}

/// A key and its cipher.
struct ExpandedKey {
    key: Key,
    cipher: Cipher,
}

/// The reason why a change of the keyring was refused. The keyring is then unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringFault {
    /// The key is not in the keyring.
    Absent,
    /// The primary key cannot be removed.
    Primary,
}

/// Keys in order. The first key is the primary key, which encrypts; every key is tried for
/// decryption. Clones share the expanded ciphers.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<Arc<ExpandedKey>>,
}

impl Keyring {
    /// Makes a keyring of these keys, the first of which is the primary one. Duplicates are left
    /// out.
    pub fn new(keys: Vec<Key>) -> Keyring {
        let mut keyring = Keyring::default();
        for key in keys {
            keyring.add(key);
        }
        keyring
    }

    /// Returns true if there is no key, so that nothing is encrypted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns true if the keyring holds this key.
    pub fn contains(&self, key: &Key) -> bool {
        self.place(key).is_some()
    }

    /// Returns true if this key is the primary one.
    pub fn is_primary(&self, key: &Key) -> bool {
        self.place(key) == Some(0)
    }

    /// Returns the keys, the primary one first.
    pub fn keys(&self) -> Vec<Key> {
        self.keys.iter().map(|one| one.key.clone()).collect()
    }

    /// Adds a key at the end: it decrypts, and encrypts only if it is the only key. A key that the
    /// keyring already holds keeps its place.
    pub fn add(&mut self, key: Key) {
        if self.place(&key).is_some() {
            return;
        }
        if let Some(cipher) = Cipher::new(&key) {
            self.keys.push(Arc::new(ExpandedKey { key, cipher }));
        }
    }

    /// Makes a key of the keyring the primary one.
    ///
    /// # Errors
    /// [`KeyringFault::Absent`] if the keyring does not hold the key.
    pub fn use_primary(&mut self, key: &Key) -> Result<(), KeyringFault> {
        let place = self.place(key).ok_or(KeyringFault::Absent)?;
        self.keys[..=place].rotate_right(1);
        Ok(())
    }

    /// Removes a key that is not the primary one.
    ///
    /// # Errors
    /// [`KeyringFault::Absent`] if the keyring does not hold the key, [`KeyringFault::Primary`] if
    /// the key is the primary one.
    pub fn remove(&mut self, key: &Key) -> Result<(), KeyringFault> {
        match self.place(key) {
            None => Err(KeyringFault::Absent),
            Some(0) => Err(KeyringFault::Primary),
            Some(place) => {
                self.keys.remove(place);
                Ok(())
            }
        }
    }

    fn place(&self, key: &Key) -> Option<usize> {
        self.keys.iter().position(|one| one.key == *key)
    }

    /// Appends `plain` encrypted by the primary key: version, nonce, text, tag. Appends nothing if
    /// there is no key; callers check that there is one.
    pub(super) fn seal(&self, out: &mut Vec<u8>, plain: &[u8], nonce: [u8; NONCE_LEN], aad: &[u8]) {
        let Some(primary) = self.keys.first() else {
            return;
        };
        let start = out.len();
        out.push(1);
        out.extend_from_slice(&nonce);
        let text = out.len();
        out.extend_from_slice(plain);
        match primary.cipher.encrypt(nonce, aad, &mut out[text..]) {
            Some(tag) => out.extend_from_slice(&tag),
            // This branch is never taken: no message comes near the 64 GiB that one nonce allows.
            None => out.truncate(start),
        }
    }

    /// Decrypts the output of [`Keyring::seal`] or of a version 0 writer with whichever key fits.
    ///
    /// # Errors
    /// [`Refusal::Undecryptable`].
    pub(super) fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, Refusal> {
        let refused = Refusal::Undecryptable;
        let (version, rest) = sealed.split_first().ok_or(refused)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(refused)?;
        let (text, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(refused)?;
        if *version > 1 || (*version == 0 && text.len() < BLOCK_LEN) {
            return Err(refused);
        }
        let mut plain = text.to_vec();
        let fits = |one: &Arc<ExpandedKey>| one.cipher.decrypt(*nonce, aad, &mut plain, *tag);
        if !self.keys.iter().any(fits) {
            return Err(refused);
        }
        if *version == 0 {
            unpad(&mut plain)?;
        }
        Ok(plain)
    }
}

/// Takes off the padding of version 0: 1 to 16 bytes, each of which holds the length of the
/// padding.
fn unpad(plain: &mut Vec<u8>) -> Result<(), Refusal> {
    let count = usize::from(*plain.last().ok_or(Refusal::Undecryptable)?);
    let kept = plain
        .len()
        .checked_sub(count)
        .ok_or(Refusal::Undecryptable)?;
    let consistent = (1..=BLOCK_LEN).contains(&count)
        && plain[kept..].iter().all(|byte| usize::from(*byte) == count);
    if !consistent {
        return Err(Refusal::Undecryptable);
    }
    plain.truncate(kept);
    Ok(())
}

/// The rules by which a node wraps what it sends and unwraps what it receives.
#[derive(Clone, Default)]
pub struct Codec {
    /// The keys; an empty keyring means no encryption.
    pub keyring: Keyring,
    /// The label of the cluster, at most [`crate::limits::LABEL_LEN`] bytes; empty means no label.
    pub label: Vec<u8>,
    /// True if sent messages are compressed; a datagram is compressed only if that makes it
    /// shorter.
    pub compress: bool,
    /// True if received bytes that are not encrypted are refused when there are keys
    /// (GossipVerifyIncoming).
    pub verify_incoming: bool,
    /// True if sent bytes are encrypted when there are keys (GossipVerifyOutgoing).
    pub verify_outgoing: bool,
    /// True if the label header has been stripped from received bytes already
    /// (SkipInboundLabelCheck).
    pub skip_label_check: bool,
}

impl Codec {
    /// Returns the number of bytes that label and encryption add to a datagram.
    pub fn overhead(&self) -> usize {
        let label = if self.label.is_empty() {
            0
        } else {
            2 + self.label.len()
        };
        label + if self.encrypts() { SEAL_LEN } else { 0 }
    }

    /// Returns true if sent bytes are encrypted.
    pub fn encrypts(&self) -> bool {
        self.verify_outgoing && !self.keyring.is_empty()
    }

    /// Appends the label header, if there is a label.
    pub(super) fn put_label(&self, out: &mut Vec<u8>) {
        let length = u8::try_from(self.label.len());
        debug_assert!(length.is_ok(), "a label of {} bytes", self.label.len());
        if let Ok(length @ 1..) = length {
            out.extend_from_slice(&[super::message::kind::LABEL, length]);
            out.extend_from_slice(&self.label);
        }
    }

    /// Checks the label header at the front of `bytes`, and returns the bytes after it.
    ///
    /// # Errors
    /// [`Refusal::Label`], or [`Refusal::Truncated`] when the header is cut off.
    pub(super) fn strip_label<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let mut reader = super::Reader::new(bytes);
        if reader.peek() != Some(super::message::kind::LABEL) {
            let allowed = self.label.is_empty() || self.skip_label_check;
            return if allowed {
                Ok(bytes)
            } else {
                Err(Refusal::Label)
            };
        }
        reader.u8()?;
        let length = reader.u8()?;
        if length == 0 || self.skip_label_check {
            return Err(Refusal::Label);
        }
        let label = reader.take(length.into())?;
        if label == self.label {
            Ok(reader.rest())
        } else {
            Err(Refusal::Label)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(length: usize, seed: u8) -> Key {
        Key::new(&vec![seed; length]).unwrap()
    }

    #[test]
    fn a_key_in_base64_may_have_line_breaks_but_nothing_else() {
        let written = "AQEBAQEBAQEBAQEBAQEBAQ==";
        assert_eq!(key(16, 1).to_base64().as_str(), written);
        for text in [
            written,
            &format!("{written}\r\n"),
            "AQEBAQEBAQEB\nAQEBAQEBAQ==",
            "AQEBAQEBAQEBAQEBAQEBAR==", // bits beyond the last byte
        ] {
            assert_eq!(Key::from_base64(text), Some(key(16, 1)), "{text:?}");
        }
        for text in ["", "AAAA", "!", &format!(" {written}"), &written[..23]] {
            assert_eq!(Key::from_base64(text), None, "{text:?}");
        }
        assert_eq!(format!("{:?}", key(16, 1)), "Key(..)");
    }

    fn bytes(keyring: &Keyring) -> Vec<u8> {
        keyring.keys().iter().map(|key| key.as_bytes()[0]).collect()
    }

    #[test]
    fn a_key_has_16_24_or_32_bytes() {
        for length in 0..40 {
            let allowed = [16, 24, 32].contains(&length);
            assert_eq!(
                Key::new(&vec![1; length]).is_some(),
                allowed,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn the_keyring_changes_by_the_rules_of_serf() {
        let mut ring = Keyring::new(vec![key(16, 1), key(32, 2), key(16, 1)]);
        assert_eq!(bytes(&ring), [1, 2]);
        ring.add(key(24, 3));
        ring.add(key(32, 2));
        assert_eq!(bytes(&ring), [1, 2, 3]);
        assert_eq!(ring.use_primary(&key(24, 3)), Ok(()));
        assert_eq!(bytes(&ring), [3, 1, 2]);
        assert_eq!(ring.use_primary(&key(24, 9)), Err(KeyringFault::Absent));
        assert_eq!(ring.remove(&key(24, 3)), Err(KeyringFault::Primary));
        assert_eq!(ring.remove(&key(24, 9)), Err(KeyringFault::Absent));
        assert_eq!(ring.remove(&key(16, 1)), Ok(()));
        assert_eq!(bytes(&ring), [3, 2]);
    }

    #[test]
    fn every_key_size_opens_what_it_sealed_and_nothing_else() {
        for length in [16, 24, 32] {
            let ring = Keyring::new(vec![key(length, 1)]);
            let both = Keyring::new(vec![key(length, 2), key(length, 1)]);
            let mut sealed = Vec::new();
            ring.seal(&mut sealed, b"words", [7; 12], b"more");
            assert_eq!(sealed.len(), 5 + SEAL_LEN);
            assert_eq!(ring.open(&sealed, b"more"), Ok(b"words".to_vec()));
            assert_eq!(both.open(&sealed, b"more"), Ok(b"words".to_vec()));
            assert_eq!(ring.open(&sealed, b"less"), Err(Refusal::Undecryptable));
            let other = Keyring::new(vec![key(length, 2)]);
            assert_eq!(other.open(&sealed, b"more"), Err(Refusal::Undecryptable));
            for place in 0..sealed.len() {
                let mut broken = sealed.clone();
                broken[place] ^= 0x10;
                assert_eq!(ring.open(&broken, b"more"), Err(Refusal::Undecryptable));
                assert_eq!(
                    ring.open(&sealed[..place], b"more"),
                    Err(Refusal::Undecryptable)
                );
            }
        }
    }

    #[test]
    fn padding_of_version_0_that_contradicts_itself_is_refused() {
        let unpadded = |bytes: &[u8]| {
            let mut plain = bytes.to_vec();
            unpad(&mut plain).map(|()| plain)
        };
        assert_eq!(unpadded(b"ab\x02\x02"), Ok(b"ab".to_vec()));
        assert_eq!(unpadded(&[16; 16]), Ok(Vec::new()));
        for wrong in [&b"ab\x01\x02"[..], b"ab\0", b"\x05ab\x05", &[17; 20], b""] {
            assert_eq!(unpadded(wrong), Err(Refusal::Undecryptable));
        }
    }

    #[test]
    fn overhead_counts_label_and_encryption() {
        let mut codec = Codec::default();
        assert_eq!(codec.overhead(), 0);
        codec.label = b"blue".to_vec();
        assert_eq!(codec.overhead(), 6);
        codec.keyring.add(key(16, 1));
        assert_eq!(codec.overhead(), 6);
        codec.verify_outgoing = true;
        assert_eq!(codec.overhead(), 35);
    }
}
