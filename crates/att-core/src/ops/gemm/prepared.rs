//! Weights whose products are prepared once for a whole run.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Mat, Packed, row_major};
use crate::ops::WeightFormat;
use crate::ops::rows::row;

/// What keeps a weight's numbers where they are.
pub(in crate::ops) type Owner = Box<dyn Send + Sync>;

/// The weights of a run that are known by where their numbers lie. While one stands here it holds
/// its numbers, so nobody can write to them or put others in their place.
static WEIGHTS: RwLock<BTreeMap<usize, Vec<Arc<Weight>>>> = RwLock::new(BTreeMap::new());

/// How many weights stand there: products look no further where it is zero.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Weight {
    /// The addresses of its numbers.
    bytes: Range<usize>,
    format: WeightFormat,
    run: u64,
    /// By how its numbers are read. Arranged on first use.
    packed: Mutex<HashMap<View, Packed>>,
    /// Its columns, one after the other. Made on first use.
    transposed: Mutex<HashMap<View, Arc<[f32]>>>,
    _owner: Owner,
}

/// Where a matrix begins and how it lies.
#[derive(PartialEq, Eq, Hash)]
struct View {
    start: usize,
    sizes: [usize; 2],
    strides: [usize; 2],
}

const PACKED_ROWS: usize = 64;

/// A number for a new run.
pub(in crate::ops) fn new_run() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Products with parts of `numbers`, which `owner` keeps in place, take this format from now on.
pub(in crate::ops) fn add(
    run: u64,
    numbers: Range<*const f32>,
    owner: Owner,
    format: WeightFormat,
) {
    let bytes = numbers.start as usize..numbers.end as usize;
    let weight = Weight {
        bytes: bytes.clone(),
        format,
        run,
        packed: Mutex::default(),
        transposed: Mutex::default(),
        _owner: owner,
    };
    let mut weights = WEIGHTS.write().unwrap_or_else(PoisonError::into_inner);
    weights.entry(bytes.start).or_default().push(weight.into());
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Ends what was [added](add) for a run.
pub(in crate::ops) fn remove(run: u64) {
    let mut weights = WEIGHTS.write().unwrap_or_else(PoisonError::into_inner);
    weights.retain(|_, weights| {
        let before = weights.len();
        weights.retain(|weight| weight.run != run);
        COUNT.fetch_sub(before - weights.len(), Ordering::Relaxed);
        !weights.is_empty()
    });
}

/// Columns of a prepared right factor, one after the other, and its format.
///
/// # Panics
///
/// If one is not there.
pub(in crate::ops) fn columns(rhs: Mat, columns: &[u32]) -> Option<(Vec<f32>, WeightFormat)> {
    let weight = weight_of(rhs)?;
    let copy;
    let numbers = if rhs.row_stride == 1 && rhs.col_stride == rhs.rows {
        rhs.data
    } else {
        copy = weight.transposed(rhs);
        &copy
    };
    let column = |&column: &u32| row(numbers, column as usize, rhs.rows);
    let found = columns.iter().flat_map(column).copied().collect();
    Some((found, weight.format))
}

/// The right factor, if it was prepared.
pub(super) fn find(rhs: Mat) -> Option<Packed> {
    weight_of(rhs).map(|weight| weight.packed(rhs))
}

/// The same for a product with `rows` rows whose right factor is packed for nothing else: above
/// [`PACKED_ROWS`] f32 products are as fast with factors where they lie.
pub(super) fn find_for(rhs: Mat, rows: usize) -> Option<Packed> {
    let pays = |weight: &Arc<Weight>| weight.format != WeightFormat::F32 || rows <= PACKED_ROWS;
    weight_of(rhs).filter(pays).map(|weight| weight.packed(rhs))
}

fn weight_of(rhs: Mat) -> Option<Arc<Weight>> {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let start = rhs.data.as_ptr() as usize;
    let weights = WEIGHTS.read().unwrap_or_else(PoisonError::into_inner);
    let (_, weights) = weights.range(..=start).next_back()?;
    let weight = weights.last()?;
    weight.bytes.contains(&start).then(|| weight.clone())
}

impl View {
    fn of(rhs: Mat) -> Self {
        Self {
            start: rhs.data.as_ptr() as usize,
            sizes: [rhs.rows, rhs.cols],
            strides: [rhs.row_stride, rhs.col_stride],
        }
    }
}

impl Weight {
    fn packed(&self, rhs: Mat) -> Packed {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        let pack = || Packed::with_format(rhs, self.format);
        packed.entry(View::of(rhs)).or_insert_with(pack).clone()
    }

    fn transposed(&self, rhs: Mat) -> Arc<[f32]> {
        let copies = self.transposed.lock();
        let mut copies = copies.unwrap_or_else(PoisonError::into_inner);
        let copy = || row_major(rhs.t(), |x| x).into();
        copies.entry(View::of(rhs)).or_insert_with(copy).clone()
    }
}
