//! The member for a key: the one with the highest weighted score (rendezvous hashing, Thaler and
//! Ravishankar 1998).
//!
//! All nodes that know the same members with the same weights choose the same member for a key,
//! without a table. When a member goes, only its keys move, and they spread over the other members.

/// A hash of 64 bits that is the same on every host and in every version: FNV-1a, followed by the
/// last step of SplitMix64. Without that step, similar names would get similar hashes.
fn hash(parts: [&[u8]; 2]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts[0].iter().chain(&[0]).chain(parts[1]) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The score of a member for a key; `None` if the weight is 0.
fn score(name: &str, key: &[u8], weight: u16) -> Option<f64> {
    if weight == 0 {
        return None;
    }
    // 52 bits of the hash plus one half, as a fraction between 0 and 1. With 53 bits, adding one
    // half would round. The logarithm comes from libm, because the result of the standard library
    // can differ from host to host in its last bit.
    let part = ((hash([name.as_bytes(), key]) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    Some(f64::from(weight) / -libm::log(part))
}

/// The length from which a key is replaced by its digest. The whole key is hashed for each member,
/// and clients may choose long keys.
const LONG_KEY_LEN: usize = 64;

fn digest(key: &[u8]) -> [u8; 16] {
    let halves = [hash([b"", key]), hash([b"digest", key])];
    (u128::from(halves[0]) << 64 | u128::from(halves[1])).to_be_bytes()
}

/// The index of the member for this key in a list of names and weights; `None` if all weights are
/// 0.
pub fn pick<'a>(members: impl IntoIterator<Item = (&'a str, u16)>, key: &[u8]) -> Option<usize> {
    let short;
    let key = if key.len() < LONG_KEY_LEN {
        key
    } else {
        short = digest(key);
        &short
    };
    let members = members.into_iter().enumerate();
    let scored = members.filter_map(|(at, (name, weight))| Some((at, score(name, key, weight)?)));
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 20_000;

    fn counts(members: &[(&str, u16)]) -> Vec<usize> {
        let mut counts = vec![0; members.len()];
        for key in 0..KEYS {
            let chosen = pick(members.iter().copied(), key.to_string().as_bytes());
            counts[chosen.unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn keys_spread_by_weight() {
        let counts = counts(&[("web-1", 100), ("web-2", 100), ("web-3", 200), ("web-4", 0)]);
        for (count, share) in counts.iter().zip([0.25, 0.25, 0.5, 0.0]) {
            let found = *count as f64 / KEYS as f64;
            assert!((found - share).abs() < 0.02, "{counts:?}");
        }
    }

    #[test]
    fn when_a_member_goes_only_its_keys_move() {
        let all = [("web-1", 100), ("web-2", 100), ("web-3", 100)];
        let less = [("web-1", 100), ("web-3", 100)];
        for key in 0..1000_u32 {
            let key = key.to_string();
            let before = all[pick(all, key.as_bytes()).unwrap()].0;
            let after = less[pick(less, key.as_bytes()).unwrap()].0;
            assert!(before == after || before == "web-2");
        }
    }

    #[test]
    fn long_keys_spread_like_short_ones() {
        let all = [("web-1", 100), ("web-2", 100), ("web-3", 100)];
        let mut counts = [0; 3];
        for key in 0..3000_u32 {
            let key = format!("{}{key}", "x".repeat(LONG_KEY_LEN));
            counts[pick(all, key.as_bytes()).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn an_empty_list_has_no_member_and_the_choice_never_changes() {
        assert_eq!(pick([], b"x"), None);
        assert_eq!(pick([("a", 0)], b"x"), None);
        let all = [("web-1", 100), ("web-2", 100), ("web-3", 100)];
        let chosen: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|key| pick(all, key.as_bytes()))
            .collect();
        // These are the choices of the first version: hosts with different versions must agree.
        assert_eq!(chosen, [Some(1), Some(0), Some(0), Some(2)]);
    }
}
