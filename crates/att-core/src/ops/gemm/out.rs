//! Where products go, and what they are added to.

/// What a product is added to.
#[derive(Clone, Copy)]
pub(in crate::ops) enum Onto<'a> {
    Nothing,
    /// What stands where it goes.
    Itself,
    /// Each row to this one.
    Row(&'a [f32]),
}

impl From<bool> for Onto<'_> {
    /// Whether to accumulate.
    fn from(accumulate: bool) -> Self {
        if accumulate {
            Self::Itself
        } else {
            Self::Nothing
        }
    }
}

/// Where a product goes: rows of `row_stride` numbers, of which each thread writes its own.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) data: *mut f32,
    pub(super) row_stride: usize,
    /// Numbers that it is added to, and by how many its rows are apart.
    pub(super) base: Option<(*const f32, usize)>,
}

// SAFETY: threads write disjoint rows or columns only; see `product`.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    /// # Panics
    ///
    /// If `onto` is not a row of `width` numbers or more.
    pub(super) fn new(data: *mut f32, row_stride: usize, width: usize, onto: Onto) -> Self {
        let base = match onto {
            Onto::Nothing => None,
            Onto::Itself => Some((data.cast_const(), row_stride)),
            Onto::Row(row) => {
                assert!(row.len() >= width, "a row to add each row of a product to");
                Some((row.as_ptr(), 0))
            }
        };
        Self {
            data,
            row_stride,
            base,
        }
    }

    /// The same from row `row` and column `col` on.
    ///
    /// # Safety
    ///
    /// There must be such an element.
    pub(super) unsafe fn from(self, row: usize, col: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                data: self.data.add(row * self.row_stride + col),
                base: self
                    .base
                    .map(|(base, stride)| (base.add(row * stride + col), stride)),
                ..self
            }
        }
    }

    /// The same, for what comes on top of what was written.
    pub(super) fn onto_itself(self) -> Self {
        Self {
            base: Some((self.data.cast_const(), self.row_stride)),
            ..self
        }
    }

    /// Writes what the product is added to; what remains is to add it there.
    ///
    /// # Safety
    ///
    /// There must be room for `rows` rows of `cols`.
    pub(super) unsafe fn begun(self, rows: usize, cols: usize) -> Self {
        for i in 0..rows {
            // SAFETY: the caller's.
            unsafe {
                let row = self.data.add(i * self.row_stride);
                match self.base.map(|(base, stride)| base.add(i * stride)) {
                    None => row.write_bytes(0, cols),
                    Some(base) if base == row.cast_const() => (),
                    Some(base) => row.copy_from_nonoverlapping(base, cols),
                }
            }
        }
        self.onto_itself()
    }
}
