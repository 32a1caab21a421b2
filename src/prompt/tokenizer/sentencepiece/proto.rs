//! The fields of sentencepiece's `ModelProto` that decide ids, read from the protocol buffer.
//! Source: `sentencepiece_model.proto` of the sentencepiece library.

/// Longest piece that is accepted, in bytes. Trained pieces have at most 16 characters; only user-defined ones are longer.
const LONGEST_PIECE: usize = 4_096;

/// Kind of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// A piece of the vocabulary; its id is its position.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// Kind of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
}

/// A parsed `tokenizer.model`.
pub(super) struct ModelFile {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) byte_fallback: bool,
    pub(super) whitespace_as_suffix: bool,
    /// `precompiled_charsmap` of the normalizer.
    pub(super) charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
}

/// A value of a field.
enum Value<'a> {
    Number(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Reads the fields of a message one after another.
struct Fields<'a>(&'a [u8]);

const BROKEN: &str = "not a sentencepiece model: the protocol buffer is broken";

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(BROKEN)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BROKEN.into())
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| BROKEN)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next field and its value.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.bytes(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => {
                let bytes = self.bytes(4)?.try_into().map_err(|_| BROKEN)?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(BROKEN.into()),
        };
        Ok(Some((key >> 3, value)))
    }
}

impl ModelFile {
    /// # Errors
    /// Bytes that are not a model, and models of words or characters.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut file = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            whitespace_as_suffix: false,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut fields = Fields(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Bytes(piece)) => {
                    let number = file.pieces.len();
                    file.pieces.push(Piece::parse(piece, number)?);
                }
                (2, Value::Bytes(trainer)) => file.trainer(trainer)?,
                (3, Value::Bytes(normalizer)) => file.normalizer(normalizer)?,
                _ => {}
            }
        }
        if file.pieces.is_empty() {
            return Err("not a sentencepiece model: it has no pieces".into());
        }
        Ok(file)
    }

    fn trainer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut fields = Fields(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (3, Value::Number(1)) => self.algorithm = Algorithm::Unigram,
                (3, Value::Number(2)) => self.algorithm = Algorithm::Bpe,
                (3, Value::Number(kind)) => {
                    return Err(format!(
                        "a sentencepiece model of kind {kind}, expected Unigram (1) or BPE (2)"
                    ));
                }
                (24, Value::Number(on)) => self.whitespace_as_suffix = on != 0,
                (35, Value::Number(on)) => self.byte_fallback = on != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut fields = Fields(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (2, Value::Bytes(charsmap)) => self.charsmap = charsmap.to_vec(),
                (3, Value::Number(on)) => self.add_dummy_prefix = on != 0,
                (4, Value::Number(on)) => self.remove_extra_whitespaces = on != 0,
                (5, Value::Number(on)) => self.escape_whitespaces = on != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Piece {
    fn parse(bytes: &[u8], number: usize) -> Result<Self, String> {
        let mut piece = Self {
            text: String::new(),
            score: 0.0,
            kind: Kind::Normal,
        };
        let mut fields = Fields(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Bytes(text)) => {
                    piece.text = String::from_utf8(text.to_vec())
                        .map_err(|_| format!("piece {number} is not UTF-8"))?;
                }
                (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
                (3, Value::Number(kind)) => {
                    piece.kind = match kind {
                        1 => Kind::Normal,
                        2 => Kind::Unknown,
                        3 => Kind::Control,
                        4 => Kind::UserDefined,
                        5 => Kind::Unused,
                        6 => Kind::Byte,
                        _ => return Err(format!("piece {number} has the unknown kind {kind}")),
                    };
                }
                _ => {}
            }
        }
        if piece.text.is_empty() || piece.text.len() > LONGEST_PIECE {
            return Err(format!(
                "piece {number} has {} bytes, expected 1 to {LONGEST_PIECE}",
                piece.text.len()
            ));
        }
        if !piece.score.is_finite() {
            return Err(format!(
                "piece {number}, `{}`: the score is {}",
                piece.text, piece.score
            ));
        }
        Ok(piece)
    }
}
