//! What `docs/` shows of programs that take too long for a test: its tables are those that the programs print, by their
//! words. The figures are held by smaller tests of their own.

use crate::tree::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between double quotes at the beginning of each line.
fn quoted(source: &str) -> Vec<&str> {
    let lines = source.lines().map(str::trim);
    lines.filter_map(|line| line.strip_prefix('"')?.rsplit_once('"').map(|(text, _)| text)).collect()
}

#[test]
fn the_error_rates_have_the_tables_that_their_program_prints() {
    let (source, page) = (read("chaos-core/examples/error-rates.rs"), read("docs/error-rates.md"));
    let titles: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let unprinted: Vec<_> = titles.iter().filter(|title| !source.contains(&format!("\"{title}\""))).collect();
    assert!(unprinted.is_empty(), "not printed by the program: {unprinted:#?}; hint: regenerate the page");
    let printed = source.matches("    heading(").count();
    assert_eq!(titles.len(), printed, "tables; hint: regenerate docs/error-rates.md");
    // Rows are texts with figures to be filled in; heads are not.
    let heads = quoted(&source).into_iter().filter(|text| text.starts_with("| ") && !text.contains('{'));
    let missing: Vec<_> = heads.filter(|head| !page.contains(*head)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:#?}; hint: regenerate docs/error-rates.md");
    let end = page.lines().last().unwrap_or_default();
    assert!(
        end.contains("Broken: 0; without a bar: 2 ("),
        "a bar of docs/error-rates.md is broken, or one more error has none: {end}"
    );
}

#[test]
fn the_year_has_the_schedules_that_its_program_plays_and_all_statements_hold() {
    let (source, page) = (read("chaos-core/examples/year.rs"), read("docs/schedules.md"));
    let played: Vec<_> =
        source.lines().filter_map(|line| line.trim().strip_prefix("title: \"")?.strip_suffix("\",")).collect();
    let titles: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(!played.is_empty());
    assert_eq!(titles, played, "hint: regenerate docs/schedules.md");
    // A row begins with words and goes on with figures, which are the program's.
    let rows = source.split("\"| ").skip(1).filter_map(|row| row.split(['|', '{', '"']).next());
    let words: Vec<_> = rows.map(str::trim).filter(|words| !words.is_empty()).collect();
    let missing: Vec<_> = words.iter().filter(|words| !page.contains(&format!("| {words} |"))).collect();
    assert!(missing.is_empty(), "not on the page: {missing:#?}; hint: regenerate docs/schedules.md");
    let end = page.trim_end();
    assert!(end.ends_with("\nStatements that do not hold: 0."), "a statement of docs/schedules.md does not hold");
}

#[test]
fn the_seeded_errors_are_those_of_their_program_and_all_are_caught() {
    let (source, page) = (read("chaos-core/examples/mutants.rs"), read("docs/mutants.md"));
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(
        source.contains(&format!("[Mutant; {}]", rows.len())),
        "{} rows; hint: regenerate docs/mutants.md",
        rows.len()
    );
    let unknown: Vec<_> = rows.iter().filter(|row| !source.contains(&format!("\"{}\"", row[1]))).collect();
    assert!(unknown.is_empty(), "not seeded by the program: {unknown:#?}; hint: regenerate docs/mutants.md");
    assert!(page.trim_end().ends_with("Not caught: 0."), "an error of docs/mutants.md is caught by nothing");
}

#[test]
fn every_seeded_error_has_the_one_place_that_it_is_seeded_into() {
    let source = read("chaos-core/examples/mutants.rs");
    let list = source.split_once("const MUTANTS").and_then(|(_, rest)| rest.split_once("\n];")).map(|(list, _)| list);
    // Of each what it is, its file, the text there and what is put in its place; no text holds a quote.
    let texts: Vec<&str> = list.unwrap_or_default().split('"').skip(1).step_by(2).collect();
    assert!(!texts.is_empty() && texts.len().is_multiple_of(4), "{texts:#?}");
    let found = |mutant: &[&str]| read(&format!("chaos-core/src/{}", mutant[1])).matches(mutant[2]).count();
    let lost: Vec<_> = texts.chunks(4).filter(|&mutant| found(mutant) != 1).collect();
    assert!(
        lost.is_empty(),
        "not there, or more than once; hint: say in examples/mutants.rs what stands there: {lost:#?}"
    );
}

#[test]
fn the_mistakes_of_the_simulations_are_those_that_the_page_shows() {
    let page = read("docs/simulation.md");
    let shown: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let sources = ["strikes", "days", "runs"].map(|of| read(&format!("chaos-engine/tests/simulation/{of}/bugs.rs")));
    let lines = sources.iter().flat_map(|source| source.lines());
    let known: Vec<_> = lines.filter_map(|line| line.trim().strip_prefix("Self::")?.strip_suffix(',')).collect();
    assert_eq!(shown, known, "hint: the tests `every_mistake_is_caught` print the rows, with `--nocapture`");
}
