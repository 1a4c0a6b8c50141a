//! Profiles come back from their files as they were, and files that are damaged are refused, or mean something else, but never more than that.

use super::*;
use crate::artifact::checksum;

fn profile() -> Profile {
    let sites = vec![
        Site { offset: 0, counts: Counts::Branch { taken: 3, total: 1 << 40 } },
        Site { offset: 1, counts: Counts::Loop { rounds: u64::MAX } },
        Site { offset: 300, counts: Counts::Table { taken: vec![0, 127, 128] } },
        Site { offset: u32::MAX, counts: Counts::Call { total: 10, hits: 8, target: Some(u32::MAX) } },
    ];
    let call = Site { offset: 70_000, counts: Counts::Call { total: 1, hits: 0, target: None } };
    let functions = vec![
        FunctionProfile { index: 0, entries: 1, sites: Vec::new() },
        FunctionProfile { index: 1, entries: 2, sites },
        FunctionProfile { index: u32::MAX, entries: u64::MAX, sites: vec![call] },
    ];
    Profile { wasm: [7; 32], functions }
}

/// With a checksum that fits.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len() - 32;
    let sum = checksum(&bytes[..length]);
    bytes[length..].copy_from_slice(&sum);
    bytes
}

#[test]
fn a_profile_comes_back_as_it_was() {
    for profile in [profile(), Profile { wasm: [0; 32], functions: Vec::new() }] {
        assert_eq!(Profile::from_bytes(&profile.to_bytes()), Ok(profile));
    }
}

#[test]
fn any_change_is_noticed() {
    let bytes = profile().to_bytes();
    for position in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[position] ^= flip;
            Profile::from_bytes(&changed).expect_err("a bit is another");
        }
        Profile::from_bytes(&bytes[..position]).expect_err("the end is missing");
    }
    let longer = [bytes, vec![0]].concat();
    assert_eq!(Profile::from_bytes(&longer), Err(ProfileError::Damaged));
}

#[test]
fn errors_say_what_is_wrong() {
    let bytes = profile().to_bytes();
    assert_eq!(Profile::from_bytes(b"\0asm\x01\0\0\0"), Err(ProfileError::NotAProfile));
    let mut other = bytes.clone();
    other[8] = 9;
    assert_eq!(Profile::from_bytes(&other), Err(ProfileError::Version(9)));
    assert!(ProfileError::Version(9).to_string().contains("version 9"));
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(Profile::from_bytes(&seal(longer)), Err(ProfileError::Malformed("it goes on after its end")));
}

#[test]
fn a_checksum_that_fits_makes_no_number_right() {
    let bytes = profile().to_bytes();
    let (mut refused, mut read) = (0, 0);
    for position in 44..bytes.len() - 32 {
        for value in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[position] = value;
            match Profile::from_bytes(&seal(changed)) {
                Ok(profile) => {
                    // Whatever it says, it is in order.
                    assert!(profile.functions.is_sorted_by(|a, b| a.index < b.index));
                    assert!(profile.functions.iter().all(|f| f.sites.is_sorted_by(|a, b| a.offset < b.offset)));
                    assert_eq!(Profile::from_bytes(&profile.to_bytes()), Ok(profile));
                    read += 1;
                }
                Err(ProfileError::Malformed(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
}

#[test]
fn a_target_is_dominant_from_four_calls_of_five() {
    let call = |total, hits, target| Counts::Call { total, hits, target };
    assert_eq!(call(10, 8, Some(3)).dominant_target(), Some((FuncIndex(3), 8, 2)));
    assert_eq!(call(10, 7, Some(3)).dominant_target(), None);
    assert_eq!(call(10, 10, None).dominant_target(), None);
    assert_eq!(call(0, 0, Some(3)).dominant_target(), None);
    // Counts that cannot be are no reason to fail.
    assert_eq!(call(u64::MAX, u64::MAX, Some(1)).dominant_target(), Some((FuncIndex(1), u64::MAX, 0)));
    assert_eq!(call(1, 2, Some(1)).dominant_target(), Some((FuncIndex(1), 2, 0)));
}

#[test]
fn functions_and_sites_are_found() {
    let profile = profile();
    let function = profile.function(FuncIndex(1)).expect("it is there");
    assert_eq!(function.site(300).map(Counts::total), Some(255));
    assert_eq!(function.site(299), None);
    assert_eq!(function.weight(), u64::MAX);
    assert!(profile.function(FuncIndex(2)).is_none());
}
