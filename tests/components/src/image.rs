//! A piece of a guest's linear memory, written as the canonical ABI lays values out.

/// Bytes that lie at a fixed address of a guest's memory.
#[derive(Clone, Debug)]
pub struct Image {
    base: u32,
    bytes: Vec<u8>,
}

impl Image {
    /// An empty image that begins at this address.
    pub fn new(base: u32) -> Self {
        Self { base, bytes: Vec::new() }
    }

    /// Takes zeroed room and returns its address.
    pub fn reserve(&mut self, size: usize, align: usize) -> u32 {
        let at = self.bytes.len().next_multiple_of(align);
        self.bytes.resize(at + size, 0);
        self.base + u32::try_from(at).expect("images are small")
    }

    /// Writes bytes at an address that was reserved.
    pub fn put(&mut self, at: u32, bytes: &[u8]) {
        let at = (at - self.base) as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes one byte.
    pub fn byte(&mut self, at: u32, value: u8) {
        self.put(at, &[value]);
    }

    /// Writes four bytes.
    pub fn word(&mut self, at: u32, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn long(&mut self, at: u32, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Writes a string: its bytes into new room, pointer and length at the address.
    pub fn text(&mut self, at: u32, text: &str) {
        let place = self.reserve(text.len(), 1);
        self.put(place, text.as_bytes());
        self.list(at, place, text.len());
    }

    /// Writes an optional string.
    pub fn option(&mut self, at: u32, text: Option<&str>) {
        if let Some(text) = text {
            self.byte(at, 1);
            self.text(at + 4, text);
        }
    }

    /// Writes pointer and length of a list.
    pub fn list(&mut self, at: u32, place: u32, length: usize) {
        self.word(at, place);
        self.word(at + 4, u32::try_from(length).expect("lists are short"));
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As a data segment of the text format.
    pub fn data(&self) -> String {
        let escaped: String = self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!("(data (i32.const {}) \"{escaped}\")", self.base)
    }
}
