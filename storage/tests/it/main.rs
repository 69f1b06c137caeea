//! One file per property. The disk store is tested when the feature `rocksdb` is on; a build of the
//! whole workspace turns it on.

mod conformance;
#[cfg(feature = "rocksdb")]
mod disk;
mod faults;
#[cfg(feature = "rocksdb")]
mod log_images;
mod support;
