//! What somebody who wrote an unknown name most likely meant.

/// The candidate that looks most like `word`, if one looks enough like it.
pub(crate) fn closest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // Nobody misspells a short name into hundreds of characters, or the other way; and the comparison is quadratic.
    let is_short = |word: &str| word.chars().nth(64).is_none();
    if !is_short(word) {
        return None;
    }
    let (folded, candidates) = (fold(word), candidates.filter(|candidate| is_short(candidate)));
    let best = candidates.map(|candidate| (distance(&folded, &fold(candidate)), candidate)).min_by_key(|(d, _)| *d)?;
    (best.0 <= (folded.len() / 3).max(1)).then_some(best.1)
}

/// Case and separators do not matter: `max_unavailable` and `MaxUnavailable` mean `maxUnavailable`.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Edit distance where swapping two neighbours costs one (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let change = rows[i][j] + usize::from(x != y);
            let mut best = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["maxUnavailable", "minReady", "maxKills", "allowForce"];
        for (word, meant) in [
            ("maxUnavailble", Some("maxUnavailable")),
            ("max_kills", Some("maxKills")),
            ("minraedy", Some("minReady")),
            ("AllowForce", Some("allowForce")),
            ("dryRun", None),
            ("", None),
        ] {
            assert_eq!(closest(word, names.into_iter()), meant, "{word}");
        }
    }

    #[test]
    fn hostile_names_cost_nothing_and_are_not_what_was_meant() {
        let (longest, endless) = ("a".repeat(64), "a".repeat(1_000_000));
        // To compare them would take days.
        for _ in 0..10_000 {
            assert_eq!(closest(&longest, [endless.as_str()].into_iter()), None);
            assert_eq!(closest(&endless, [longest.as_str()].into_iter()), None);
        }
        assert_eq!(closest(&longest[1..], [longest.as_str()].into_iter()), Some(longest.as_str()));
    }
}
