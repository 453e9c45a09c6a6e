//! Which of several instances a name belongs to.

/// The slot of a place among `total` slots, from 0: the jump consistent hash of Lamping and Veach (arXiv:1406.2294). A place that
/// gets another slot when a slot is added gets the new one: from n to n + 1 slots only one place in n + 1 moves.
///
/// Without slots it is slot 0.
pub fn slot(place: u64, total: u32) -> u32 {
    /// The numbers below are those of the paper: a 64-bit linear congruential generator, of which 31 bits are drawn.
    const MULTIPLIER: u64 = 2_862_933_555_777_941_757;
    const DRAWN: f64 = (1_u64 << 31) as f64;

    let (mut key, mut slot, mut next) = (place, 0_u32, 0_u64);
    while next < u64::from(total) {
        // Below `total`, which fits.
        slot = u32::try_from(next).unwrap_or(u32::MAX);
        key = key.wrapping_mul(MULTIPLIER).wrapping_add(1);
        // As in the paper: exact up to 2^53, far beyond any number of slots.
        next = ((f64::from(slot) + 1.0) * (DRAWN / ((key >> 33) + 1) as f64)) as u64;
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::place;

    /// As many as a large provider has customers, by names that look alike.
    fn places() -> impl Iterator<Item = u64> {
        (0..100_000).map(|number| place(&format!("customer-{number}.example")))
    }

    #[test]
    fn slots_are_for_ever() {
        // The reference implementation of the paper in C, compiled and run with these keys and numbers of buckets.
        for (key, total, expected) in REFERENCE {
            assert_eq!(slot(*key, *total), *expected, "{key} among {total}");
        }
    }

    const REFERENCE: &[(u64, u32, u32)] = &[
        (0x0, 2, 0),
        (0x0, 3, 0),
        (0x0, 7, 0),
        (0x0, 100, 0),
        (0x0, 10000, 0),
        (0x1, 2, 0),
        (0x1, 3, 0),
        (0x1, 7, 6),
        (0x1, 100, 55),
        (0x1, 10000, 8421),
        (0x2a, 2, 1),
        (0x2a, 3, 2),
        (0x2a, 7, 2),
        (0x2a, 100, 43),
        (0x2a, 10000, 5747),
        (0xa379a6f6eeafb9a5, 2, 1),
        (0xa379a6f6eeafb9a5, 3, 2),
        (0xa379a6f6eeafb9a5, 7, 2),
        (0xa379a6f6eeafb9a5, 100, 2),
        (0xa379a6f6eeafb9a5, 10000, 2296),
        (0xdeadbeef, 2, 1),
        (0xdeadbeef, 3, 2),
        (0xdeadbeef, 7, 5),
        (0xdeadbeef, 100, 87),
        (0xdeadbeef, 10000, 8918),
        (0xffffffffffffffff, 2, 1),
        (0xffffffffffffffff, 3, 2),
        (0xffffffffffffffff, 7, 2),
        (0xffffffffffffffff, 100, 92),
        (0xffffffffffffffff, 10000, 5934),
    ];

    #[test]
    fn one_slot_takes_all() {
        for place in [0, 1, u64::MAX] {
            assert_eq!((slot(place, 1), slot(place, 0)), (0, 0));
        }
    }

    #[test]
    fn slots_are_about_equal() {
        for total in [2_u32, 3, 16] {
            let mut sizes = vec![0_u32; total as usize];
            places().for_each(|place| sizes[slot(place, total) as usize] += 1);
            let fair = 100_000 / total;
            // One in fifty of the fair share, or four standard deviations where that is more.
            let spread = (4.0 * f64::from(fair).sqrt()).max(f64::from(fair) / 50.0);
            for size in sizes {
                assert!(f64::from(size.abs_diff(fair)) <= spread, "{size} of {fair} among {total}");
            }
        }
    }

    #[test]
    fn a_new_slot_takes_its_share_and_nothing_else_moves() {
        for (before, after) in [(2, 3), (3, 4), (15, 16)] {
            let moves = places().map(|place| (slot(place, before), slot(place, after))).filter(|(was, is)| was != is);
            let moved: Vec<u32> = moves.map(|(_, is)| is).collect();
            assert!(moved.iter().all(|is| *is == after - 1), "only to the new one");
            let share = moved.len() as f64 / 100_000.0;
            let fair = 1.0 / f64::from(after);
            assert!((share - fair).abs() < 0.02 * fair.max(0.2), "{share} of {fair}");
        }
    }

    #[test]
    fn a_slot_that_goes_gives_its_places_to_the_others_alone() {
        for place in places() {
            let (many, few) = (slot(place, 3), slot(place, 2));
            assert!(many == 2 || many == few);
        }
    }
}
