//! Where a feed of events begins, told before its first event, so that whoever loses the connection before that knows where to go on.

use tonic::metadata::{MetadataMap, MetadataValue};

/// Where the position stands in the answer's metadata.
const POSITION_KEY: &str = "vertigo-position";

/// Says that a feed's events come from behind `position`.
pub fn tell(metadata: &mut MetadataMap, position: u64) {
    metadata.insert(POSITION_KEY, MetadataValue::from(position));
}

/// The position that an answer says; `None` where it does not.
pub fn told(metadata: &MetadataMap) -> Option<u64> {
    metadata.get(POSITION_KEY)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let mut metadata = MetadataMap::new();
        assert_eq!(told(&metadata), None);
        for position in [0, 7, u64::MAX] {
            tell(&mut metadata, position);
            assert_eq!(told(&metadata), Some(position));
        }
    }
}
