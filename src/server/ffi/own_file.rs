//! Where the module's own file is.

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The file that the module was loaded from, if the loader knows it.
pub(crate) fn own_file() -> Option<PathBuf> {
    // SAFETY: the place is written by `dladdr` where that succeeds, and is plain data; the address is
    // one of this module's, whose name lives as long as it is loaded.
    let name = unsafe {
        let mut about: libc::Dl_info = std::mem::zeroed();
        let known = libc::dladdr(own_file as *const c_void, &raw mut about) != 0;
        (known && !about.dli_fname.is_null()).then(|| CStr::from_ptr(about.dli_fname))?
    };
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    Some(std::path::absolute(&path).unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_code_that_runs_is_there() {
        assert!(own_file().is_some_and(|path| path.is_file()));
    }
}
