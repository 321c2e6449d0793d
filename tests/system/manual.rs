//! The manual pages as `man` shows them.

use std::path::Path;
use std::process::Command;

/// `man` formats each page, and groff has nothing to warn of.
#[test]
fn man_formats_every_page_without_a_warning() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    for entry in std::fs::read_dir(pages).unwrap() {
        let page = entry.unwrap().path();
        let ran = Command::new("man")
            .args(["--warnings", "--encoding=UTF-8", "--local-file"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        assert!(ran.status.success() && err.is_empty(), "{}: {err}", page.display());
        let wide = out.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{}", page.display());
        assert!(!out.contains('`') && !out.contains("\\f"), "{}: {out}", page.display());
    }
}
