//! The models: which there are, and which of them are loaded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use att_model::Translator;
use tokio::task::spawn_blocking;

use crate::failure::Failure;
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;
use crate::{Error, Loading, ModelSpec, Result};

/// A model in memory. It stays there as long as someone holds it, whatever becomes of its files.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) translator: Translator,
    /// About what its weights take.
    bytes: u64,
    /// Of its files.
    fingerprint: Fingerprint,
}

/// The models by name. They are loaded when they are first asked for, one at a time; where they may take so
/// much memory and no more, the one goes that was not used for the longest time.
pub(crate) struct ModelStore {
    /// One at least; the first is taken where a request names none.
    models: Vec<Model>,
    loading: Loading,
    batch_size: usize,
    max_memory: Option<u64>,
    metrics: Arc<Metrics>,
    /// Counts uses.
    clock: AtomicU64,
    /// Held while a model is loaded.
    busy: Mutex<()>,
}

struct Model {
    spec: ModelSpec,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    loaded: Option<Arc<Loaded>>,
    /// When it was used last, by the store's clock.
    used: u64,
    /// What its files were when they were last looked at and were not those that are loaded.
    seen: Option<Fingerprint>,
    /// What its files were when they could not be loaded again.
    refused: Option<Fingerprint>,
}

/// A model, and whether it is loaded.
pub(crate) struct Listed<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) loaded: Option<Arc<Loaded>>,
}

impl ModelStore {
    /// Looks at all models, and loads the first.
    ///
    /// # Errors
    ///
    /// If there is none, two have one name, or one is no model, is damaged, or larger than all may be.
    pub(crate) fn open(
        specs: Vec<ModelSpec>,
        loading: Loading,
        batch_size: usize,
        max_memory: Option<u64>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        if specs.is_empty() {
            return Err(Error::config(
                "model",
                "there is none: name a model directory",
            ));
        }
        for (i, spec) in specs.iter().enumerate() {
            let before = || specs[..i].iter();
            if before().any(|other| other.name == spec.name) {
                let reason = "two models have this name: write NAME=DIR with another one";
                return Err(Error::config(format!("model '{}'", spec.name), reason));
            }
            let languages = &spec.languages;
            if languages.is_some() && before().any(|other| other.languages == *languages) {
                let reason = "another model translates between these languages already";
                return Err(Error::config(
                    format!("languages of '{}'", spec.name),
                    reason,
                ));
            }
        }
        let model = |spec| Model {
            spec,
            slot: Mutex::default(),
        };
        let store = Self {
            models: specs.into_iter().map(model).collect(),
            loading,
            batch_size,
            max_memory,
            metrics,
            clock: AtomicU64::new(0),
            busy: Mutex::new(()),
        };
        for model in &store.models {
            store.size(model)?;
        }
        store.load(0)?;
        Ok(store)
    }

    /// The place of the model with this name, or of the first.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<usize, Failure> {
        let Some(name) = name else { return Ok(0) };
        let names = || self.models.iter().map(|model| model.spec.name.as_str());
        let found = names().position(|known| known == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = names().collect();
            Failure::unknown_model(format_args!("{name:?}"), &known.join(", "))
        })
    }

    /// The model at this place, loaded.
    ///
    /// # Errors
    ///
    /// If it can't be loaded now.
    ///
    /// # Panics
    ///
    /// If there is no such place.
    pub(crate) async fn get(self: &Arc<Self>, place: usize) -> Result<Arc<Loaded>, Failure> {
        if let Some(loaded) = self.use_loaded(place) {
            return Ok(loaded);
        }
        let store = self.clone();
        // It goes on where the client does not wait for it: the next one will be glad.
        let loaded = spawn_blocking(move || store.load(place)).await;
        loaded.map_err(|_| Failure::internal())?.map_err(|error| {
            let name = &self.models[place].spec.name;
            tracing::error!(model = %name, %error, "not loaded");
            // Paths are the server's own business.
            let message = format!("model '{name}' can't be loaded now; the server's log says why");
            Failure::unavailable("model_unavailable", message)
        })
    }

    /// All of them, the first one first.
    pub(crate) fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        self.models.iter().map(|model| Listed {
            spec: &model.spec,
            loaded: model.lock().loaded.clone(),
        })
    }

    /// Of each model its name and, if it is loaded, about what its weights take.
    pub(crate) fn sizes(&self) -> Vec<(String, Option<u64>)> {
        let size = |model: Listed| {
            let bytes = model.loaded.map(|loaded| loaded.bytes);
            (model.spec.name.clone(), bytes)
        };
        self.list().map(size).collect()
    }

    /// From now on looks at the files of loaded models, so often, and loads again what has changed. Requests
    /// that have the old one keep it; a model that can't be loaded stays as it was. Files that have changed
    /// count once they have stayed the same for two looks, so that they are whole.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let store = self.clone();
            let looked = spawn_blocking(move || store.reload_changed());
            if looked.await.is_err() {
                tracing::error!("looking at the models' files panicked");
            }
        }
    }

    /// One look at the files of all loaded models.
    pub(crate) fn reload_changed(&self) {
        for (place, model) in self.models.iter().enumerate() {
            if model.lock().loaded.is_none() {
                continue;
            }
            let now = Fingerprint::of(&model.spec.paths);
            let mut slot = model.lock();
            // Not held: it may be thrown out while this waits for another one to be loaded.
            let Some(loaded) = &slot.loaded else { continue };
            if now == loaded.fingerprint || slot.refused.as_ref() == Some(&now) {
                slot.seen = None;
                continue;
            }
            if slot.seen.as_ref() != Some(&now) {
                slot.seen = Some(now);
                continue;
            }
            drop(slot);
            let _busy = self.busy();
            if model.lock().loaded.is_none() {
                continue; // thrown out in the meantime
            }
            let name = &model.spec.name;
            match self.read_into_room(place) {
                Ok(new) => {
                    tracing::info!(model = %name, "loaded again: its files have changed");
                    self.metrics.load(name, "reloaded");
                    self.put(place, new);
                }
                Err(error) => {
                    tracing::warn!(model = %name, %error, "its files have changed and can't be loaded; it stays as it was");
                    self.metrics.load(name, "failed");
                    if !matches!(error, Error::Changing { .. }) {
                        model.lock().refused = Some(now);
                    }
                }
            }
        }
    }

    fn use_loaded(&self, place: usize) -> Option<Arc<Loaded>> {
        let mut slot = self.models[place].lock();
        slot.used = self.clock.fetch_add(1, Ordering::Relaxed);
        slot.loaded.clone()
    }

    /// Loads a model, unless someone else has done so in the meantime.
    fn load(&self, place: usize) -> Result<Arc<Loaded>> {
        let _busy = self.busy();
        if let Some(loaded) = self.use_loaded(place) {
            return Ok(loaded);
        }
        let name = &self.models[place].spec.name;
        let loaded = self.read_into_room(place);
        let loaded = loaded.inspect_err(|_| self.metrics.load(name, "failed"))?;
        tracing::info!(model = %name, bytes = loaded.bytes, "loaded");
        self.metrics.load(name, "loaded");
        Ok(self.put(place, loaded))
    }

    /// Held while a model is loaded.
    fn busy(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, place: usize, loaded: Loaded) -> Arc<Loaded> {
        let loaded = Arc::new(loaded);
        let mut slot = self.models[place].lock();
        slot.loaded = Some(loaded.clone());
        (slot.seen, slot.refused) = (None, None);
        loaded
    }

    /// Makes room for a model, whose size is known from what its file of weights begins with, and then reads it: else
    /// there would be more in memory than there may be, as long as that takes.
    fn read_into_room(&self, place: usize) -> Result<Loaded> {
        let model = &self.models[place];
        let bytes = self.size(model)?;
        self.make_room(place, bytes);
        self.read(model, bytes)
    }

    /// About what a model takes.
    fn size(&self, model: &Model) -> Result<u64> {
        let name = &model.spec.name;
        let bytes = model.spec.loaded_size(&self.loading);
        let bytes = bytes.map_err(|source| Error::Model {
            name: name.clone(),
            source,
        })?;
        match self.max_memory {
            Some(max) if bytes > max => Err(Error::TooLarge {
                name: name.clone(),
                bytes,
                max,
            }),
            _ => Ok(bytes),
        }
    }

    /// Throws out models until this one fits beside the others, that which was not used for the longest time
    /// first. Who still decodes with one keeps it until that is done.
    fn make_room(&self, place: usize, bytes: u64) {
        let Some(max) = self.max_memory else { return };
        loop {
            let others = self.models.iter().enumerate();
            let others = others.filter(|(other, _)| *other != place);
            let loaded: Vec<(&Model, u64, u64)> = others
                .filter_map(|(_, model)| {
                    let slot = model.lock();
                    Some((model, slot.used, slot.loaded.as_ref()?.bytes))
                })
                .collect();
            let total: u64 = loaded.iter().map(|(_, _, bytes)| bytes).sum();
            let oldest = loaded.iter().min_by_key(|(_, used, _)| *used);
            let Some((model, ..)) = oldest.filter(|_| total + bytes > max) else {
                return;
            };
            model.lock().loaded = None;
            tracing::info!(model = %model.spec.name, "thrown out to make room");
            self.metrics.load(&model.spec.name, "evicted");
        }
    }

    /// Reads a model's files.
    fn read(&self, model: &Model, bytes: u64) -> Result<Loaded> {
        let spec = &model.spec;
        let fingerprint = Fingerprint::of(&spec.paths);
        let translator = spec.load(&self.loading).map_err(|source| Error::Model {
            name: spec.name.clone(),
            source,
        })?;
        if Fingerprint::of(&spec.paths) != fingerprint {
            let name = spec.name.clone();
            return Err(Error::Changing { name });
        }
        Ok(Loaded {
            name: spec.name.clone(),
            translator: translator.with_batch_size(self.batch_size),
            bytes,
            fingerprint,
        })
    }
}

impl Model {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{copy_model, loading, make_model, spec};
    use std::fs;
    use std::path::Path;

    fn store(folder: &Path, names: &[&str], max_memory: Option<u64>) -> Result<Arc<ModelStore>> {
        let specs = names.iter().map(|name| spec(name, &folder.join(name)));
        let store = ModelStore::open(specs.collect(), loading(), 8, max_memory, Arc::default());
        store.map(Arc::new)
    }

    fn loaded(store: &ModelStore) -> Vec<&str> {
        let loaded = store.list().filter(|model| model.loaded.is_some());
        loaded.map(|model| model.spec.name.as_str()).collect()
    }

    #[tokio::test]
    async fn models_are_loaded_when_they_are_asked_for_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        for (seed, name) in ["a", "b", "c"].into_iter().enumerate() {
            make_model(&folder.path().join(name), seed as u64);
        }
        let names = ["a", "b", "c"];
        let size = store(folder.path(), &["a"], None).unwrap().sizes()[0]
            .1
            .unwrap();
        let store = store(folder.path(), &names, Some(2 * size + size / 2)).unwrap();
        assert_eq!(loaded(&store), ["a"]);
        store.get(1).await.unwrap();
        assert_eq!(loaded(&store), ["a", "b"]);
        let a = store.get(0).await.unwrap();
        store.get(2).await.unwrap();
        assert_eq!(loaded(&store), ["a", "c"], "b was used longest ago");
        store.get(1).await.unwrap();
        assert_eq!(loaded(&store), ["b", "c"]);
        // Who holds one keeps it.
        let found = a.translator.translate(&["abc"], &Default::default());
        assert_eq!(found.unwrap().len(), 1);
        assert!(!Arc::ptr_eq(&store.get(0).await.unwrap(), &a));
    }

    /// Reading ends with an error in the last of the weights. By then the other model is gone.
    #[tokio::test]
    async fn room_is_made_before_a_model_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            make_model(&folder.path().join(name), 1);
        }
        let weights = folder.path().join("b/model.safetensors");
        let whole = fs::read(&weights).unwrap();
        let size = store(folder.path(), &["a"], None).unwrap().sizes()[0].1;
        let store = store(folder.path(), &["a", "b"], size).unwrap();
        let damaged = [&whole[..whole.len() - 4], &f32::NAN.to_le_bytes()].concat();
        fs::write(&weights, damaged).unwrap();
        assert!(store.get(1).await.is_err());
        assert!(loaded(&store).is_empty());
        // What is no whole file has no size, and costs nobody his place.
        store.get(0).await.unwrap();
        fs::write(&weights, &whole[..whole.len() - 4]).unwrap();
        assert!(store.get(1).await.is_err());
        assert_eq!(loaded(&store), ["a"]);
        fs::write(&weights, &whole).unwrap();
        store.get(1).await.unwrap();
        assert_eq!(loaded(&store), ["b"]);
    }

    #[test]
    fn who_waits_to_load_a_model_again_does_not_keep_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        make_model(&path, 1);
        let store = store(folder.path(), &["a"], None).unwrap();
        let old = Arc::downgrade(store.models[0].lock().loaded.as_ref().unwrap());
        make_model(&path, 2);
        store.reload_changed();
        // Another one is being loaded, and takes its place.
        let busy = store.busy();
        let waiting = std::thread::spawn({
            let store = store.clone();
            move || store.reload_changed()
        });
        std::thread::sleep(Duration::from_millis(100));
        store.models[0].lock().loaded = None;
        assert!(old.upgrade().is_none());
        drop(busy);
        waiting.join().unwrap();
        assert!(loaded(&store).is_empty(), "nobody has asked for it");
    }

    #[tokio::test]
    async fn many_who_ask_at_once_load_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            make_model(&folder.path().join(name), 1);
        }
        let store = store(folder.path(), &["a", "b"], None).unwrap();
        let asks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.get(1).await.unwrap() })
            })
            .collect();
        let mut found = Vec::new();
        for ask in asks {
            found.push(ask.await.unwrap());
        }
        assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
    }

    #[tokio::test]
    async fn what_has_changed_is_loaded_again_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        make_model(&path, 1);
        let store = store(folder.path(), &["a"], None).unwrap();
        let old = store.get(0).await.unwrap();
        let is_old = async || Arc::ptr_eq(&store.get(0).await.unwrap(), &old);
        store.reload_changed();
        store.reload_changed();
        assert!(is_old().await, "nothing has changed");

        // Half of a new model: it stays as it was.
        let weights = path.join("model.safetensors");
        let whole = fs::read(&weights).unwrap();
        fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
        for _ in 0..4 {
            store.reload_changed();
            assert!(is_old().await);
        }
        fs::remove_dir_all(&path).unwrap();
        for _ in 0..4 {
            store.reload_changed();
            assert!(is_old().await);
        }

        let other = folder.path().join("other");
        make_model(&other, 2);
        copy_model(&other, &path);
        store.reload_changed();
        assert!(is_old().await, "one look is not enough");
        store.reload_changed();
        let new = store.get(0).await.unwrap();
        assert!(!Arc::ptr_eq(&new, &old));
        let text = |model: &Loaded| {
            let found = model.translator.translate(&["abcd"], &Default::default());
            found.unwrap()[0].candidates[0].score
        };
        assert_ne!(text(&new), text(&old));
    }

    #[tokio::test]
    async fn a_model_that_is_gone_is_no_answer_now_but_later() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            make_model(&folder.path().join(name), 1);
        }
        let store = store(folder.path(), &["a", "b"], None).unwrap();
        let [path, aside] = ["b", "aside"].map(|name| folder.path().join(name));
        fs::rename(&path, &aside).unwrap();
        let failure = store.get(1).await.err().unwrap();
        assert_eq!(failure.code, "model_unavailable");
        let shown = path.display().to_string();
        assert!(!failure.message.contains(&shown), "{}", failure.message);
        fs::rename(&aside, &path).unwrap();
        store.get(1).await.unwrap();
    }

    #[test]
    fn what_can_not_be_served_is_known_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        make_model(&folder.path().join("a"), 1);
        let error = |names: &[&str], max_memory| {
            let error = store(folder.path(), names, max_memory).err().unwrap();
            error.to_string()
        };
        assert!(error(&[], None).contains("model directory"));
        assert!(error(&["a", "a"], None).contains("two models"));
        assert!(error(&["a", "b"], None).contains("'b'"));
        assert!(error(&["a"], Some(100)).contains("max_memory"));
    }

    #[test]
    fn names_are_looked_up_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        make_model(&folder.path().join("a"), 1);
        let store = store(folder.path(), &["a"], None).unwrap();
        assert_eq!(store.find(None), Ok(0));
        assert_eq!(store.find(Some("a")), Ok(0));
        let path = folder.path().join("a").display().to_string();
        for name in ["b", "", "../a", "a/", &path, "a\0"] {
            let failure = store.find(Some(name)).unwrap_err();
            assert_eq!(failure.code, "unknown_model");
        }
    }
}
