//! Files that were written to do harm, or are damaged.

use super::*;

#[test]
fn hostile_input_ends_in_clean_errors() {
    let bomb = (0..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |bomb, i| format!("{bomb}a{}: &a{} [*a{i}, *a{i}]\n", i + 1, i + 1));
    let unknown = (0..45_000).map(|i| format!("  x{i}: 1")).collect::<Vec<_>>().join("\n");
    let cases = [
        (String::new(), "holds no manifest"),
        ("---\n---\n".into(), "holds no manifest"),
        ("[".repeat(1_000_000), ""),
        ("{a: ".repeat(200_000), ""),
        ("- ".repeat(500_000), "within each other"),
        (bomb, "more than 100000 values"),
        ("x".repeat(10 << 20), "the file has 10485760 bytes"),
        ("a: &a [*a]".into(), "within what it repeats"),
        ("a: .nan\nb: .inf".into(), "no number that can be compared"),
        ("a: !!python/object x".into(), "tags are not read here"),
        ("\0".into(), ""),
        ("a: b: c".into(), "this is not YAML"),
        ("? [a]\n: b".into(), "a name must be text"),
        ("42".into(), "a manifest is a mapping"),
        (format!("{{{}}}", "a: 1, ".repeat(90_000)), "\"a\" is written twice"),
        (GOOD.replace("spec:", &format!("spec:\n{unknown}")), "there is no field \"x0\" here"),
        (GOOD.replace("maxKills: 61", "maxKills: 99999999999999999999"), "expected a whole number"),
        (GOOD.replace("maxKills: 61", "maxKills: 4294967297"), "at most 10000"),
    ];
    for (text, expected) in cases {
        let found = problems(&text);
        let short: String = text.chars().take(60).collect();
        assert!(!found.is_empty() && found[0].contains(expected), "{short:?}: {:?}", found.first());
    }
}

/// Cuts, doubles and overwrites pieces of good files: whatever comes out must be a clean answer, and fast.
#[test]
fn mutated_files_never_panic() {
    use rand::{Rng, RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let pieces = [
        "{", "}", "[", "]", ":", "- ", "&a ", "*a", "\"", "'", "|", "\n", "  ", "é", "0", "-1", "1e400", "~", "\t",
        "#", "!!x ", "{{", "}}",
    ];
    for _ in 0..1_000 {
        let mut text: Vec<char> = GOOD.chars().collect();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..text.len());
            let end = (at + rng.random_range(0..40)).min(text.len());
            let piece = pieces[(rng.next_u32() as usize) % pieces.len()];
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(found) = file("x.yaml", &text) {
            assert!(found.iter().count() > 0 && !found.to_string().is_empty());
        }
    }
}
