//! "Did you mean": the name that was probably meant by one that is not there.

/// How alike two names must be, by Jaro and Winkler. Lower, names that share no more than a prefix (`app/db`, `app/mail`)
/// would be offered for one another.
const ALIKE: f64 = 0.85;

/// The one of `known` that is most like `wanted`, if any is like enough; of equals the last.
pub fn nearest<T>(known: impl IntoIterator<Item = T>, wanted: &str, text: impl Fn(&T) -> &str) -> Option<T> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text(&name), wanted), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_the_name_and_a_shared_prefix_does_not() {
        let near = |wanted, known: &[&'static str]| nearest(known.iter().copied(), wanted, |name| *name);
        assert_eq!(near("stripe/lve", &["stripe/test", "stripe/live", "db"]), Some("stripe/live"));
        assert_eq!(near("desciption", &["key", "default", "description"]), Some("description"));
        assert_eq!(near("prd", &["dev", "prod"]), Some("prod"));
        assert_eq!(near("app/db", &["app/mail"]), None);
        assert_eq!(near("anything", &[]), None);
    }
}
