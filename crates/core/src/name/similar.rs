//! "Did you mean": the name that was probably meant by one that is not there.

/// How alike two names must be, by Jaro and Winkler.
const ALIKE: f64 = 0.85;

/// The one of `known` that is most like `wanted`, if any is like enough; of equals the last.
pub fn nearest<T>(known: impl IntoIterator<Item = T>, wanted: &str, text: impl Fn(&T) -> &str) -> Option<T> {
    known
        .into_iter()
        .map(|name| {
            let (known, wanted) = without_shared_parts(text(&name), wanted);
            (strsim::jaro_winkler(known, wanted), name)
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

/// Two names without the parts that both begin with: `shop/db` and `shop/mail` are not alike because of the project.
fn without_shared_parts<'n>(one: &'n str, other: &'n str) -> (&'n str, &'n str) {
    let shared = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let parts = one.get(..shared).and_then(|shared| shared.rfind('/')).map_or(0, |slash| slash + 1);
    (one.get(parts..).unwrap_or(one), other.get(parts..).unwrap_or(other))
}

/// Returns `true` if one text is the other with a slip of the fingers: a character too many, too few, or another, or two
/// exchanged; in a long text, two of these.
#[must_use]
pub fn is_slip(wanted: &str, known: &str) -> bool {
    const LONG: usize = 12;
    let most = if wanted.len().min(known.len()) < LONG { 1 } else { 2 };
    strsim::osa_distance(wanted, known) <= most
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
        assert_eq!(near("shop/NOPE", &["shop/OLD", "shop/PORT"]), None);
        assert_eq!(near("app/db/prd", &["app/db/prod", "app/db/dev"]), Some("app/db/prod"));
        assert_eq!(near("anything", &[]), None);
    }

    #[test]
    fn a_slip_is_stricter_than_likeness() {
        assert!(is_slip("stripe/lvie", "stripe/live") && is_slip("prd", "prod"));
        assert!(!is_slip("db/prod", "db/prod2b") && !is_slip("shop/STRIPE_KEY", "shop/STRIPE_PUBLIC_KEY"));
    }
}
