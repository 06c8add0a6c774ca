//! What both ends must agree on before a message can be read: keys, label, compression.

/// One key: 16, 24 or 32 bytes. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of 16, 24 or 32 bytes, or `None` for any other length.
    pub fn new(_bytes: &[u8]) -> Option<Key> { todo!() }
    /// The key bytes.
    pub fn as_bytes(&self) -> &[u8] { &self.0 }
}

/// Keys in order: the first encrypts, all are tried to decrypt. (Ciphers are expanded once, kept.)
#[derive(Clone, Default)]
pub struct Keyring {}

impl Keyring {
    /// Keyring of these keys, the first is the primary. Duplicates are dropped.
    pub fn new(_keys: Vec<Key>) -> Keyring { todo!() }
    /// No key at all: gossip is plain.
    pub fn is_empty(&self) -> bool { todo!() }
    /// The keys, the primary first.
    pub fn keys(&self) -> Vec<Key> { todo!() }
}

/// How this node wraps and unwraps.
#[derive(Clone, Default)]
pub struct Codec {
    /// Keys; empty means no encryption.
    pub keyring: Keyring,
    /// Label of the cluster; empty means none.
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
    pub fn overhead(&self) -> usize { todo!() }
}
