//! Recognizes folders that a sync service looks after: by the names that the services give their folders, and by what they
//! leave in them.

use std::path::Path;

/// Folders' names, in lower case, and whose they are. A name ends here or goes on with ` - Firm`, as OneDrive's does.
const NAMES: [(&str, &str); 10] = [
    ("dropbox", "Dropbox"),
    ("onedrive", "OneDrive"),
    ("google drive", "Google Drive"),
    ("googledrive", "Google Drive"),
    ("my drive", "Google Drive"),
    ("icloud drive", "iCloud"),
    ("icloud~com~apple~clouddocs", "iCloud"),
    ("mobile documents", "iCloud"),
    ("nextcloud", "Nextcloud"),
    ("pcloud drive", "pCloud"),
];

/// A file or folder that each service keeps in the topmost folder that it syncs.
const MARKERS: [(&str, &str); 5] = [
    (".stfolder", "Syncthing"),
    (".dropbox", "Dropbox"),
    (".dropbox.cache", "Dropbox"),
    (".sync", "Resilio Sync"),
    (".owncloudsync.log", "ownCloud"),
];

/// The service that looks after `path`, and the folder that says so, if one is recognized. `path` is canonical.
#[must_use]
pub fn service(path: &Path) -> Option<(&'static str, &Path)> {
    path.ancestors().skip(1).find_map(|folder| {
        let named = folder.file_name().and_then(|name| by_name(&name.to_string_lossy()));
        let service = named.or_else(|| by_marker(folder))?;
        Some((service, folder))
    })
}

fn by_name(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let fits = |known: &str| {
        name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '-', '(']))
    };
    // macOS keeps the folders of all services in one, as `GoogleDrive-ada@example.org`.
    NAMES.iter().find(|(known, _)| fits(known)).map(|(_, service)| *service)
}

fn by_marker(folder: &Path) -> Option<&'static str> {
    let there = |marker: &str| std::fs::symlink_metadata(folder.join(marker)).is_ok();
    // `.dropbox` in a home folder is the program's own state and not a mark.
    let home = |marker: &str| marker == ".dropbox" && there(".dropbox-dist");
    MARKERS.iter().find(|(marker, _)| there(marker) && !home(marker)).map(|(_, service)| *service)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_services_folders_are_known_and_others_are_not() {
        for (path, service) in [
            ("/home/ada/Dropbox/keyvault/vault.db", Some("Dropbox")),
            ("/home/ada/Dropbox (Firm)/vault.db", Some("Dropbox")),
            ("/c/Users/ada/OneDrive - Firm/vault.db", Some("OneDrive")),
            ("/Users/ada/Library/Mobile Documents/com~apple~CloudDocs/vault.db", Some("iCloud")),
            (
                "/Users/ada/Library/CloudStorage/GoogleDrive-ada@example.org/My Drive/v.db",
                Some("Google Drive"),
            ),
            ("/home/ada/Nextcloud/vault.db", Some("Nextcloud")),
            ("/home/ada/dropboxes/vault.db", None),
            ("/home/ada/.local/share/keyvault/vault.db", None),
            ("/home/ada/dropbox", None),
        ] {
            assert_eq!(super::service(Path::new(path)).map(|(service, _)| service), service, "{path}");
        }
    }

    #[test]
    fn the_services_marks_are_found_in_any_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("shared");
        std::fs::create_dir_all(top.join("deep/er")).unwrap();
        let vault = top.join("deep/er/vault.db");
        assert_eq!(service(&vault), None);
        std::fs::create_dir(top.join(".stfolder")).unwrap();
        assert_eq!(service(&vault), Some(("Syncthing", top.as_path())));
    }
}
