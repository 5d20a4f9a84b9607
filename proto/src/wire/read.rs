//! Reading fields, borrowed from the bytes given.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]

use std::ops::Range;

use super::{FIXED32, FIXED64, LEN, VARINT};
use crate::Error;

/// Reads the varint at the start of `bytes`; gives its value and length.
pub fn get_varint(bytes: &[u8]) -> Result<(u64, usize), Error> {
    // One byte is by far the most frequent length.
    if let Some(&first) = bytes.first()
        && first < 0x80
    {
        return Ok((u64::from(first), 1));
    }
    let mut value = 0;
    for (length, &byte) in (1_usize..=10).zip(bytes) {
        // The tenth byte holds the 64th bit and nothing else.
        if length == 10 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * (length - 1));
        if byte < 0x80 {
            return Ok((value, length));
        }
    }
    if bytes.len() < 10 {
        Err(Error::Truncated {
            offset: bytes.len(),
            expected: 1,
            found: 0,
        })
    } else {
        Err(Error::VarintTooLong { offset: 0 })
    }
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Where its key begins.
    pub offset: usize,
    /// Its content.
    pub value: Value<'a>,
}

/// A field's content, by wire type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a boolean or an enum value.
    Varint(u64),
    /// Eight bytes, little-endian.
    Fixed64(u64),
    /// Bytes, a string, a message or packed scalars, and where in the message they stand.
    Len(&'a [u8], Range<usize>),
    /// Four bytes, little-endian.
    Fixed32(u32),
}

impl Value<'_> {
    const fn wire_type(&self) -> u8 {
        match self {
            Self::Varint(_) => VARINT,
            Self::Fixed64(_) => FIXED64,
            Self::Len(..) => LEN,
            Self::Fixed32(_) => FIXED32,
        }
    }
}

impl<'a> Field<'a> {
    /// The content of a field of type `uint64` or `bool`.
    pub fn uint64(&self) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong("0 (varint)")),
        }
    }

    /// The content of a field of type `int64`.
    pub fn int64(&self) -> Result<i64, Error> {
        self.uint64().map(u64::cast_signed)
    }

    /// The content of a field of type `bytes`, `string` or message.
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Len(bytes, _) => Ok(bytes),
            _ => Err(self.wrong("2 (length-delimited)")),
        }
    }

    /// Where in the message the content of such a field stands.
    pub fn range(&self) -> Result<Range<usize>, Error> {
        match &self.value {
            Value::Len(_, range) => Ok(range.clone()),
            _ => Err(self.wrong("2 (length-delimited)")),
        }
    }

    fn wrong(&self, expected: &'static str) -> Error {
        Error::WireType {
            offset: self.offset,
            field: self.number,
            expected,
            found: self.value.wire_type(),
        }
    }
}

/// The fields of an encoded message, in the order they stand there. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let (value, length) = get_varint(self.rest()).map_err(|error| error.behind(self.at))?;
        self.at += length;
        Ok(value)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let rest = self.rest();
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length));
        let taken = taken.ok_or(Error::Truncated {
            offset: self.at,
            expected: length,
            found: rest.len(),
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.rest();
        let array = rest.first_chunk().ok_or(Error::Truncated {
            offset: self.at,
            expected: u64::try_from(N).unwrap_or(u64::MAX),
            found: rest.len(),
        })?;
        self.at += N;
        Ok(*array)
    }

    fn field(&mut self) -> Result<Field<'a>, Error> {
        let offset = self.at;
        let key = self.varint()?;
        let number = key >> 3;
        let number = u32::try_from(number)
            .ok()
            .filter(|number| (1..1 << 29).contains(number))
            .ok_or(Error::FieldNumber {
                offset,
                found: number,
            })?;
        let value = match key.to_le_bytes()[0] & 7 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            LEN => {
                let length = self.varint()?;
                let start = self.at;
                let bytes = self.take(length)?;
                Value::Len(bytes, start..self.at)
            }
            FIXED32 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            found => {
                let expected = "0, 1, 2 or 5";
                return Err(Error::WireType {
                    offset,
                    field: number,
                    expected,
                    found,
                });
            }
        };
        Ok(Field {
            number,
            offset,
            value,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}

impl Error {
    /// The same error in a message whose start lies `base` bytes before.
    fn behind(self, base: usize) -> Self {
        match self {
            Self::Truncated {
                offset,
                expected,
                found,
            } => Self::Truncated {
                offset: base + offset,
                expected,
                found,
            },
            Self::VarintTooLong { offset } => Self::VarintTooLong {
                offset: base + offset,
            },
            other => other,
        }
    }
}
