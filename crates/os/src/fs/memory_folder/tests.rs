//! Folders in memory: whose, for how long, and what a sweep touches.
#![allow(clippy::unwrap_used)]
use crate::fs::memory_folder::*;
use std::os::unix::fs::symlink;

/// A tmpfs of our own below the shared one, as a login session's runtime folder is.
fn runtime() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("keyvault-test-").tempdir_in(SHARED).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_file_is_private_replaced_in_one_step_and_gone_with_its_run() {
    let runtime = runtime();
    let run = RunFolder::create(Some(runtime.path())).unwrap();
    assert!(run.path().starts_with(runtime.path().join("keyvault")));
    run.put("KEY", b"one").unwrap();
    run.put("KEY", b"two").unwrap();
    let file = run.path().join("KEY");
    assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o600));
    assert_eq!([mode(run.path()), mode(run.path().parent().unwrap())], [0o700; 2]);
    fs::create_dir(run.path().join("made by the command")).unwrap();
    let path = run.path().to_owned();
    sweep(Some(runtime.path()));
    assert!(file.exists(), "the folder of a run that lives stays");
    drop(run);
    assert!(!path.exists());
}

#[test]
fn what_was_left_is_swept_and_a_link_is_not_followed() {
    let runtime = runtime();
    let run = RunFolder::create(Some(runtime.path())).unwrap();
    let home = run.path().parent().unwrap().to_owned();
    let (left, bystander, outside) =
        (home.join("run-1-0"), home.join("run-other"), runtime.path().join("outside"));
    for folder in [&left, &bystander, &outside] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("KEY"), "x").unwrap();
    }
    symlink(&outside, home.join("run-2-0")).unwrap();
    symlink(&outside, left.join("link")).unwrap();
    sweep(Some(runtime.path()));
    assert!(!left.exists());
    assert!(run.path().exists() && bystander.join("KEY").exists() && outside.join("KEY").exists());
}

#[test]
fn a_folder_that_is_not_ours_alone_or_not_in_memory_is_refused_and_named() {
    let what = |base: &Path| {
        let home = Home { base: base.to_owned(), path: base.join("keyvault"), shared: false };
        home.prepare().err().map(|Fault(path, unfit)| (path, unfit))
    };
    let disk = tempfile::tempdir_in("/var/tmp").unwrap();
    assert_eq!(what(disk.path()), Some((disk.path().to_owned(), Unfit::OnDisk)));
    let gone = disk.path().join("gone");
    assert_eq!(what(&gone), Some((gone.clone(), Unfit::Absent)));
    let file = disk.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(what(&file), Some((file.clone(), Unfit::NotAFolder)));

    let runtime = runtime();
    let inner = runtime.path().join("keyvault");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(runtime.path(), 0o770);
    assert_eq!(what(runtime.path()), Some((runtime.path().to_owned(), Unfit::OpenToOthers { mode: 0o770 })));
    set(runtime.path(), 0o700);
    symlink(disk.path(), &inner).unwrap();
    assert_eq!(what(runtime.path()), Some((inner.clone(), Unfit::NotAFolder)));
    fs::remove_file(&inner).unwrap();
    fs::create_dir(&inner).unwrap();
    set(&inner, 0o755);
    assert_eq!(what(runtime.path()), Some((inner.clone(), Unfit::OpenToOthers { mode: 0o755 })));
    set(&inner, 0o700);
    assert_eq!(what(runtime.path()), None);
    // Without a fit one of its own a run uses the shared one.
    let run = RunFolder::create(Some(disk.path())).unwrap();
    assert!(run.path().starts_with(SHARED));
}

#[test]
fn a_sweep_between_any_two_steps_leaves_the_maker_with_a_folder() {
    let runtime = runtime();
    let done = std::sync::atomic::AtomicBool::new(false);
    let in_place = || {
        let run = RunFolder::create(Some(runtime.path())).unwrap();
        run.put("KEY", b"x").unwrap();
        // In the next best place is where it would be if the sweep had been in its way.
        run.path().starts_with(runtime.path()) && run.path().join("KEY").exists()
    };
    let count = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sweep(Some(runtime.path()));
            }
        });
        let count = (0..3000).filter(|_| in_place()).count();
        done.store(true, Ordering::Relaxed);
        count
    });
    assert_eq!(count, 3000);
}
