//! Texts of others (metrics sources, servers, people), as much of them as a status has room for.

/// Longest text, in bytes of JSON without its quotes.
const LONGEST: usize = 300;

/// The beginning of a text, whole characters only. What JSON would spell out becomes a space.
pub(crate) fn short(text: &str) -> String {
    let mut left = LONGEST;
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let fits = |c: &char| {
        let bytes = c.len_utf8() + usize::from(matches!(c, '"' | '\\'));
        left.checked_sub(bytes).inspect(|rest| left = *rest).is_some()
    };
    text.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_no_character_is_cut() {
        assert_eq!(short("away\n\u{1}for \"now\""), "away  for \"now\"");
        for (character, kept) in [("x", 300), ("é", 150), ("€", 100), ("𝄞", 75), ("\"", 150), ("\\", 150)] {
            let text = short(&character.repeat(1_000));
            assert_eq!(text, character.repeat(kept));
            assert_eq!(serde_json::to_string(&text).unwrap().len(), LONGEST + 2);
        }
        // Where a wide character does not fit, the text ends: what comes behind it is not drawn up.
        assert_eq!(short(&format!("{}€x", "x".repeat(299))), "x".repeat(299));
    }
}
