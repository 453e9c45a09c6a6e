//! The state of the domain from its kinds of sender, against a reference that reads the seven lines of the definition in order.

use smtptls_exporter::verdict::{Enforcement, Kinds, Outcome, PathCounts, Reason, SenderState, State};

use Enforcement::{CannotTell, Off, On};

/// One view of a kind: the counts of secure, open, refused and cannot-tell.
type View = [usize; 4];

/// What the lines speak of.
#[derive(Clone, Copy, Debug)]
struct Case {
    opportunistic: View,
    /// The view of senders that hold nothing, and of those that hold a policy, where there are such.
    sts: (View, Option<View>),
    dane: View,
    both: View,
    sts_enforces: Enforcement,
    dane_enforces: Enforcement,
}

/// §1.4, the rows of the table.
fn state_of([secure, open, refused, _]: View) -> State {
    match (secure > 0, open > 0, refused > 0) {
        (false, false, false) => State::Unknown,
        (false, false, true) => State::Blocked,
        (true, false, false) => State::Protected,
        (false, true, _) => State::Unprotected,
        (true, _, _) => State::Partial,
    }
}

fn joined(new: View, held: Option<View>) -> State {
    let Some(held) = held else { return state_of(new) };
    match (state_of(new), state_of(held)) {
        (State::Blocked, _) | (_, State::Blocked) => State::Blocked,
        (a, b) if a == b => a,
        _ => State::Partial,
    }
}

/// §1.5. Line 4 says in its second half what line 5 says better: where nothing is known of any enforcing kind, that no path is
/// secure was not seen. So line 5 is asked before that half.
fn reference(case: &Case) -> State {
    let views: Vec<View> =
        [case.opportunistic, case.sts.0, case.dane, case.both].into_iter().chain(case.sts.1).collect();
    let known = |view: &View| view[..3].iter().sum::<usize>() > 0;
    // 1 is about a null MX, which has no paths.
    // 2
    if !views.iter().any(known) {
        return State::Unknown;
    }
    // 3
    if views.iter().any(|view| state_of(*view) == State::Blocked) {
        return State::Blocked;
    }
    // 4, first half
    if case.sts_enforces == Off && case.dane_enforces == Off {
        return State::Unprotected;
    }
    // 5
    let kinds = [(joined(case.sts.0, case.sts.1), case.sts_enforces), (state_of(case.dane), case.dane_enforces)];
    let enforcing: Vec<_> = kinds.iter().filter(|(_, enforces)| *enforces != Off).collect();
    if enforcing.iter().all(|(state, enforces)| *enforces == CannotTell || *state == State::Unknown) {
        return State::Unknown;
    }
    // 4, second half
    if !views.iter().any(|view| view[0] > 0) {
        return State::Unprotected;
    }
    // 6
    let protected = enforcing.iter().any(|(state, _)| *state == State::Protected);
    if protected && !views.iter().any(|view| view[2] > 0) {
        return State::Protected;
    }
    // 7
    State::Partial
}

fn kind(view: View) -> SenderState {
    let [secure, open, refused, cannot_tell] = view;
    SenderState::from_paths(PathCounts { secure, open, refused, cannot_tell })
}

fn judged(case: &Case) -> State {
    let (new, held) = case.sts;
    let sts = held.map_or_else(|| kind(new), |held| kind(new).joined_with(kind(held)));
    Kinds {
        opportunistic: kind(case.opportunistic),
        sts,
        dane: kind(case.dane),
        both: kind(case.both),
        held_refuses: held.is_some_and(|held| held[2] > 0),
        sts_enforces: case.sts_enforces,
        dane_enforces: case.dane_enforces,
    }
    .state()
}

/// Every view with up to so many paths of each outcome.
fn views(most: usize) -> Vec<View> {
    let count = most + 1;
    (0..count.pow(4))
        .map(|number| [number % count, number / count % count, number / count.pow(2) % count, number / count.pow(3)])
        .collect()
}

fn assert_alike(case: &Case) {
    assert_eq!(judged(case), reference(case), "{case:?}");
}

/// What senders of both kinds do on paths that are alike for each kind alone is not given by the counts; it is taken in every way.
#[test]
fn the_seven_lines_in_order() {
    let opportunistic = [[0, 0, 0, 1], [0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 1]];
    let both = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]];
    let mut seen = std::collections::BTreeSet::new();
    for (sts, dane) in views(2).into_iter().flat_map(|sts| views(2).into_iter().map(move |dane| (sts, dane))) {
        for (opportunistic, both) in opportunistic.iter().flat_map(|kind| both.iter().map(move |both| (*kind, *both))) {
            for flags in
                [[Off, Off], [Off, On], [Off, CannotTell], [On, Off], [On, On], [On, CannotTell], [CannotTell, On]]
            {
                let [sts_enforces, dane_enforces] = flags;
                let case = Case { opportunistic, sts: (sts, None), dane, both, sts_enforces, dane_enforces };
                assert_alike(&case);
                seen.insert(reference(&case).rank());
            }
        }
    }
    assert_eq!(seen.len(), State::ALL.len() - 1, "every word but no-mail");
}

/// Those that hold nothing find no policy in enforce: that is why there are two views.
#[test]
fn the_seven_lines_with_two_views() {
    let new = [[0, 1, 0, 0], [0, 2, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]];
    for (new, held) in new.iter().flat_map(|new| views(1).into_iter().map(move |held| (*new, held))) {
        // A policy in enforce leaves nothing open, and a path that is up is known to both views.
        if held[1] > 0 || (new[..3].iter().sum::<usize>() > 0) != (held[..3].iter().sum::<usize>() > 0) {
            continue;
        }
        for (dane, both) in views(2).into_iter().flat_map(|dane| [[1, 0, 0, 0], [0, 1, 0, 0]].map(|both| (dane, both)))
        {
            for dane_enforces in [Off, On, CannotTell] {
                let opportunistic = [0, new[0] + new[1], new[2], new[3]];
                let case = Case { opportunistic, sts: (new, Some(held)), dane, both, sts_enforces: On, dane_enforces };
                assert_alike(&case);
            }
        }
    }
}

#[test]
fn a_null_mx_comes_first() {
    let none = SenderState::no_mail();
    let kinds = Kinds {
        opportunistic: none,
        sts: none,
        dane: none,
        both: none,
        held_refuses: true,
        sts_enforces: On,
        dane_enforces: On,
    };
    assert_eq!(kinds.state(), State::NoMail);
}

#[test]
fn views_are_joined() {
    let open = kind([0, 1, 0, 0]);
    for (new, held, state, reason) in [
        (open, kind([1, 0, 0, 0]), State::Partial, Reason::ViewsDiffer),
        (open, kind([1, 0, 1, 0]), State::Partial, Reason::ViewsDiffer),
        (open, kind([0, 0, 1, 0]), State::Blocked, Reason::NoPath),
        (kind([0, 0, 1, 0]), kind([1, 0, 0, 0]), State::Blocked, Reason::NoPath),
        (kind([1, 0, 0, 0]), kind([1, 0, 0, 0]), State::Protected, Reason::AllSecure),
        (kind([2, 0, 0, 0]), kind([1, 0, 1, 0]), State::Partial, Reason::Degraded),
    ] {
        let joined = new.joined_with(held);
        assert_eq!((joined.state, joined.reason), (state, reason), "{new:?} {held:?}");
    }
}

/// §1.3: "refused if either refuses; secure if neither refuses and one is secure; cannot-tell if one is and the other does not
/// refuse; else open". A path that is secure for one and cannot be told for the other is both the second and the third: the
/// first that applies counts.
#[test]
fn both_together() {
    for one in Outcome::ALL {
        for other in Outcome::ALL {
            let either = |outcome| one == outcome || other == outcome;
            let expected = if either(Outcome::Refused) {
                Outcome::Refused
            } else if either(Outcome::Secure) {
                Outcome::Secure
            } else if either(Outcome::CannotTell) {
                Outcome::CannotTell
            } else {
                Outcome::Open
            };
            assert_eq!(one.and(other), expected, "{one} and {other}");
        }
    }
}
