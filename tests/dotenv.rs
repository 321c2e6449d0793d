//! dotenv files as the npm package `dotenv` 18.0.10 parses them: each line of `dotenv/cases.jsonl` is an input and what
//! that package made of it, for 33 hand-picked inputs and 467 random ones.

use keyvault::exchange;
use keyvault::secret::SecretBytes;

type Case = (String, Vec<(String, String)>);

#[test]
fn dotenv_is_parsed_as_npm_dotenv_18_does() -> Result<(), Box<dyn std::error::Error>> {
    let mut count = 0;
    for line in include_str!("dotenv/cases.jsonl").lines() {
        let (input, mut expected): Case = serde_json::from_str(line)?;
        // What begins with a brace is JSON to `import`.
        if input.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').starts_with('{') {
            continue;
        }
        let parsed = exchange::parse(&SecretBytes::copy_from(input.as_bytes()))?;
        let mut found: Vec<(String, String)> = parsed
            .entries
            .iter()
            .map(|entry| (entry.variable.clone(), String::from_utf8_lossy(entry.value.expose()).into_owned()))
            .collect();
        // JavaScript lists names that look like numbers first.
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{input:?}");
        count += 1;
    }
    assert!(count > 450, "{count} cases");
    Ok(())
}
