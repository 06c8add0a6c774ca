//! A network coordinate, as acks carry it: a version byte and a msgpack map.

use super::record::{Body, Record, record};
use super::{Reader, Refusal, msgpack};

/// The number of dimensions of a coordinate.
pub const DIMENSIONS: usize = 8;

/// The version byte in front of the map.
const VERSION: u8 = 1;

record! {
    /// The place of a node in the space in which the distance of two nodes is their round-trip
    /// time. All values but `error` are in seconds.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Coordinate {
        /// The position.
        vec: [f64; DIMENSIONS] => "Vec" Position,
        /// The confidence of the node in its coordinate: 0 is certain, 1.5 is a guess.
        error: f64 => "Error" Float,
        /// A correction of distances that the position cannot express.
        adjustment: f64 => "Adjustment" Float,
        /// The time that every packet takes between the node and the network.
        height: f64 => "Height" Float,
    }
}

super::fields::codecs! {
    /// A floating-point number.
    Float(f64) -> f64: msgpack::float, Ok, put_float;
    /// A list of one number for each dimension.
    Position(Option<[f64; DIMENSIONS]>) -> [f64; DIMENSIONS]: read_position, check_position,
        put_position;
}

impl Coordinate {
    /// Decodes the payload of an ack. Returns `None` for a payload of another version.
    ///
    /// # Errors
    /// `Msgpack` if the number of dimensions differs, or for a value of another kind;
    /// `Truncated`.
    pub fn decode(payload: &[u8]) -> Result<Option<Coordinate>, Refusal> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != VERSION {
            return Ok(None);
        }
        Body::decode(&mut reader).map(Some)
    }

    /// Returns the payload of an ack.
    pub fn encoded(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(130);
        payload.push(VERSION);
        self.put(&mut payload);
        payload
    }
}

fn read_position(reader: &mut Reader<'_>) -> Result<Option<[f64; DIMENSIONS]>, Refusal> {
    if msgpack::list(reader)? as usize != DIMENSIONS {
        return Err(Refusal::Msgpack);
    }
    let mut position = [0.0; DIMENSIONS];
    for value in &mut position {
        *value = msgpack::float(reader)?;
    }
    Ok(Some(position))
}

fn check_position(position: Option<[f64; DIMENSIONS]>) -> Result<[f64; DIMENSIONS], Refusal> {
    position.ok_or(Refusal::Msgpack)
}

fn put_float(out: &mut Vec<u8>, value: &f64) {
    msgpack::put_float(out, *value);
}

fn put_position(out: &mut Vec<u8>, position: &[f64; DIMENSIONS]) {
    super::fields::put_items(out, position, put_float);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinate() -> Coordinate {
        Coordinate {
            vec: std::array::from_fn(|axis| axis as f64 - 3.5),
            error: 0.25,
            adjustment: -0.5,
            height: 1e-5,
        }
    }

    #[test]
    fn a_payload_has_130_bytes_and_decodes_to_the_coordinate() {
        let payload = coordinate().encoded();
        assert_eq!(payload.len(), 130);
        assert_eq!(payload[..13], *b"\x01\x84\xaaAdjustment");
        assert_eq!(Coordinate::decode(&payload), Ok(Some(coordinate())));
    }

    #[test]
    fn a_payload_of_another_version_is_not_a_coordinate() {
        assert_eq!(Coordinate::decode(b"\x02anything"), Ok(None));
        assert_eq!(Coordinate::decode(b""), Err(Refusal::Truncated));
    }

    #[test]
    fn another_number_of_dimensions_is_refused() {
        for list in [&b"\x90"[..], b"\x91\xcb\0\0\0\0\0\0\0\0", b"\xc0", b"\x03"] {
            let payload = [b"\x01\x81\xa3Vec", list].concat();
            assert_eq!(Coordinate::decode(&payload), Err(Refusal::Msgpack));
        }
        assert_eq!(Coordinate::decode(b"\x01\x80"), Err(Refusal::Msgpack));
    }

    #[test]
    fn a_payload_that_ends_early_is_refused() {
        let payload = coordinate().encoded();
        for length in 1..payload.len() {
            let cut = Coordinate::decode(&payload[..length]);
            assert_eq!(cut, Err(Refusal::Truncated), "{length}");
        }
    }
}
