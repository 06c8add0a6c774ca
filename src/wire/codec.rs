//! What both ends must agree on before a message can be read: keys, label, compression.
//!
//! Encryption is AES in GCM mode from the `aes-gcm` crate, with 128, 192 or 256 bit keys that may
//! stand side by side in one keyring. Version 1 is written; version 0, which pads like PKCS#7, is
//! read as well. A cipher is expanded once per key, and keys and ciphers are wiped when dropped.

use super::Refusal;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit, aes::Aes192};
use std::sync::Arc;
use zeroize::Zeroize;

type Aes192Gcm = AesGcm<Aes192, U12>;

/// Bytes of a nonce.
pub(super) const NONCE_LEN: usize = 12;
/// Bytes of an authentication tag.
const TAG_LEN: usize = 16;
/// The block that version 0 pads to.
const BLOCK_LEN: usize = 16;
/// What version 1 adds: version byte, nonce, tag.
pub(super) const SEAL_LEN: usize = 1 + NONCE_LEN + TAG_LEN;

/// One key: 16, 24 or 32 bytes. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of 16, 24 or 32 bytes, or `None` for any other length.
    pub fn new(bytes: &[u8]) -> Option<Key> {
        matches!(bytes.len(), 16 | 24 | 32).then(|| Key(bytes.to_vec()))
    }

    /// The key bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A cipher expanded from its key.
enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<Aes192Gcm>),
    Aes256(Box<Aes256Gcm>),
}

impl Cipher {
    /// `None` for a key length that [`Key::new`] does not let through.
    fn new(key: &Key) -> Option<Cipher> {
        let bytes = key.as_bytes();
        Some(match bytes.len() {
            16 => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(bytes).ok()?)),
            24 => Cipher::Aes192(Box::new(Aes192Gcm::new_from_slice(bytes).ok()?)),
            _ => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(bytes).ok()?)),
        })
    }

    /// Encrypts `text` in place and returns its tag, or `None` beyond 64 GiB.
    fn encrypt(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> Option<[u8; 16]> {
        let (nonce, text) = (nonce.into(), text.into());
        let tag = match self {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
            Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(&nonce, aad, text),
        };
        tag.ok().map(Into::into)
    }

    /// Decrypts `text` in place if the tag fits; else `text` is unchanged.
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

struct Entry {
    key: Key,
    cipher: Cipher,
}

/// Why a change of the keyring was refused; then nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringFault {
    /// The key is not in the keyring.
    Absent,
    /// The primary key cannot be removed.
    Primary,
}

/// Keys in order: the first encrypts, all are tried to decrypt. Copies share the expanded ciphers.
#[derive(Clone, Default)]
pub struct Keyring {
    entries: Vec<Arc<Entry>>,
}

impl Keyring {
    /// Keyring of these keys, the first is the primary. Duplicates are dropped.
    pub fn new(keys: Vec<Key>) -> Keyring {
        let mut keyring = Keyring::default();
        for key in keys {
            keyring.add(key);
        }
        keyring
    }

    /// No key at all: gossip is plain.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys, the primary first.
    pub fn keys(&self) -> Vec<Key> {
        self.entries.iter().map(|entry| entry.key.clone()).collect()
    }

    /// Adds a key at the end: it decrypts, and encrypts only if it is the first one. A key that
    /// is there already keeps its place.
    pub fn add(&mut self, key: Key) {
        if self.place(&key).is_none()
            && let Some(cipher) = Cipher::new(&key)
        {
            self.entries.push(Arc::new(Entry { key, cipher }));
        }
    }

    /// Makes a key that is there the primary one.
    ///
    /// # Errors
    /// [`KeyringFault::Absent`].
    pub fn use_primary(&mut self, key: &Key) -> Result<(), KeyringFault> {
        let place = self.place(key).ok_or(KeyringFault::Absent)?;
        self.entries[..=place].rotate_right(1);
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`KeyringFault::Absent`], [`KeyringFault::Primary`].
    pub fn remove(&mut self, key: &Key) -> Result<(), KeyringFault> {
        match self.place(key) {
            None => Err(KeyringFault::Absent),
            Some(0) => Err(KeyringFault::Primary),
            Some(place) => {
                self.entries.remove(place);
                Ok(())
            }
        }
    }

    fn place(&self, key: &Key) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == *key)
    }

    /// Appends `plain` encrypted by the primary key: version, nonce, text, tag. Without a key
    /// nothing is appended; callers ask first.
    pub(super) fn seal(&self, out: &mut Vec<u8>, plain: &[u8], nonce: [u8; NONCE_LEN], aad: &[u8]) {
        let Some(entry) = self.entries.first() else {
            return;
        };
        let start = out.len();
        out.push(1);
        out.extend_from_slice(&nonce);
        let text = out.len();
        out.extend_from_slice(plain);
        match entry.cipher.encrypt(nonce, aad, &mut out[text..]) {
            Some(tag) => out.extend_from_slice(&tag),
            // No message comes near the 64 GiB of one nonce; if one did, nothing leaves.
            None => out.truncate(start),
        }
    }

    /// Decrypts what [`Keyring::seal`] or a version 0 writer made, with whichever key fits.
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
        let fits = |entry: &Arc<Entry>| entry.cipher.decrypt(*nonce, aad, &mut plain, *tag);
        if !self.entries.iter().any(fits) {
            return Err(refused);
        }
        if *version == 0 {
            unpad(&mut plain)?;
        }
        Ok(plain)
    }
}

/// Takes the padding of version 0 off: its last byte says how many bytes, 1 to 16.
fn unpad(plain: &mut Vec<u8>) -> Result<(), Refusal> {
    let count = usize::from(*plain.last().ok_or(Refusal::Undecryptable)?);
    let kept = plain
        .len()
        .checked_sub(count)
        .ok_or(Refusal::Undecryptable)?;
    let honest = (1..=BLOCK_LEN).contains(&count)
        && plain[kept..].iter().all(|byte| usize::from(*byte) == count);
    if !honest {
        return Err(Refusal::Undecryptable);
    }
    plain.truncate(kept);
    Ok(())
}

/// How this node wraps and unwraps.
#[derive(Clone, Default)]
pub struct Codec {
    /// Keys; empty means no encryption.
    pub keyring: Keyring,
    /// Label of the cluster, at most [`crate::limits::LABEL_LEN`] bytes; empty means none.
    pub label: Vec<u8>,
    /// Compress what is sent.
    pub compress: bool,
    /// Refuse what is not encrypted although there are keys (GossipVerifyIncoming).
    pub verify_incoming: bool,
    /// Encrypt what is sent when there are keys (GossipVerifyOutgoing).
    pub verify_outgoing: bool,
    /// The label header was stripped before the bytes came here (SkipInboundLabelCheck).
    pub skip_label_check: bool,
}

impl Codec {
    /// Bytes that label and encryption add to a datagram: the part of the budget they take.
    pub fn overhead(&self) -> usize {
        let label = if self.label.is_empty() {
            0
        } else {
            2 + self.label.len()
        };
        label + if self.encrypts() { SEAL_LEN } else { 0 }
    }

    /// Whether what is sent is encrypted.
    pub(super) fn encrypts(&self) -> bool {
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

    /// Takes the label header off the front of `bytes`, all of it being there, and checks it.
    ///
    /// # Errors
    /// [`Refusal::Label`], and [`Refusal::Truncated`] when the header is cut.
    pub(super) fn strip_label<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let mut reader = super::Reader::new(bytes);
        if reader.peek() != Some(super::message::kind::LABEL) {
            let fine = self.label.is_empty() || self.skip_label_check;
            return if fine { Ok(bytes) } else { Err(Refusal::Label) };
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

    fn bytes(keyring: &Keyring) -> Vec<u8> {
        keyring.keys().iter().map(|key| key.as_bytes()[0]).collect()
    }

    #[test]
    fn a_key_has_16_24_or_32_bytes() {
        for length in 0..40 {
            let fine = [16, 24, 32].contains(&length);
            assert_eq!(Key::new(&vec![1; length]).is_some(), fine, "{length} bytes");
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
    fn padding_of_version_0_must_be_honest() {
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
