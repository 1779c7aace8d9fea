//! What a worker writes its spans with, and what a request carries through the rooms.
//!
//! A request's spans lie in two flat lists that are used again, so a request that is passed over allocates next to
//! nothing. They become messages on the exporter's thread.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use super::{
    ids::Ids,
    queue::{Counters, Queue},
    sampling::{Fate, Sampler, Worth, is_recorded},
    span::{Attribute, Name, Part, SpanContext, SpanRecord, Step, Value},
};
use crate::domain::{Clock, SpanId, TraceId, TraceParent, TraceState};

/// A worker's tracer; off where no collector is configured.
#[derive(Clone)]
pub struct Tracer(Option<Rc<Shared>>);

struct Shared {
    queue: Arc<Queue>,
    clock: Clock,
    ids: Ids,
    sampler: RefCell<Sampler>,
    spare: RefCell<Vec<Written>>,
}

/// What a caller says of its trace.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// `traceparent`.
    pub parent: Option<TraceParent>,
    /// `tracestate`; it means something beside a parent only.
    pub state: Option<TraceState>,
}

/// A part of a trace that is being written: a request, or a fetch. Nothing where it is not recorded.
///
/// Cloning it is cheap; a clone is the same part. Where nobody ends it, as when a caller hangs up, it ends with its last
/// clone.
#[derive(Clone, Default)]
pub struct Trace(Option<Rc<Recording>>);

struct Recording {
    worker: Rc<Shared>,
    trace_id: TraceId,
    first: SpanId,
    parent: Option<SpanId>,
    has_remote_parent: bool,
    state: Option<TraceState>,
    worth: Cell<Worth>,
    /// Nothing once it has been handed over.
    written: RefCell<Option<Written>>,
}

#[derive(Default)]
struct Written {
    spans: Vec<SpanRecord>,
    attributes: Vec<Attribute>,
}

/// A span that goes on until this is dropped.
#[must_use = "a span that is dropped has ended"]
pub struct Span {
    recording: Option<Rc<Recording>>,
    place: usize,
}

/// Lists that a worker keeps for the next requests: about as many as it serves at a time.
const MOST_SPARE: usize = 64;

/// The status that nobody is sent, because the caller is gone.
const HUNG_UP: &str = "hung_up";

impl Tracer {
    /// One that records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn new(queue: Arc<Queue>, clock: Clock) -> Self {
        let (sampler, spare) = (RefCell::default(), RefCell::default());
        Self(Some(Rc::new(Shared { queue, clock, ids: Ids::new(), sampler, spare })))
    }

    /// Begins to record a request. Where the caller names a trace, it becomes part of that, unless the caller does not
    /// sample it: then nothing is recorded.
    pub fn begin(&self, name: Name, origin: impl FnOnce() -> Origin) -> Trace {
        let Some(worker) = &self.0 else { return Trace(None) };
        let Origin { parent, state } = origin();
        if !is_recorded(parent.as_ref()) {
            return Trace(None);
        }
        let trace_id = parent.map_or_else(|| worker.ids.trace(), |parent| parent.trace_id);
        let worth = Worth { is_asked_for: parent.is_some(), ..Worth::default() };
        let state = state.filter(|_| parent.is_some());
        let place = Place { trace_id, parent: parent.map(|parent| parent.span_id), has_remote_parent: true, state };
        Trace(Some(Recording::begin(worker, name, place, worth)))
    }
}

/// Where a part stands.
struct Place {
    trace_id: TraceId,
    parent: Option<SpanId>,
    has_remote_parent: bool,
    state: Option<TraceState>,
}

/// What is done by us, and not for a stranger.
const OUR_OWN: Worth = Worth { is_asked_for: false, is_vouched_for: true, is_remarkable: true };

impl Trace {
    /// Where its first span is to be found.
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|recording| SpanContext { trace_id: recording.trace_id, span_id: recording.first })
    }

    /// The caller is known.
    pub fn vouch(&self) {
        self.change(|worth| worth.is_vouched_for = true);
    }

    /// It is worth keeping, whatever else happens in this second.
    pub fn remark(&self) {
        self.change(|worth| worth.is_remarkable = true);
    }

    /// Says something of its first span.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(recording) = &self.0 {
            recording.note(0, key, value.into());
        }
    }

    /// Says something of its first span that is put together only where somebody reads it.
    pub fn note_with<V: Into<Value>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(recording) = &self.0 {
            recording.note(0, key, value().into());
        }
    }

    /// Its first span has failed.
    pub fn fail(&self) {
        if let Some(recording) = &self.0 {
            recording.at(0, |span| span.has_failed = true);
        }
    }

    /// A step, from now on.
    pub fn step(&self, step: Step) -> Span {
        self.span(Name::Step(step))
    }

    /// A call of the vendor's API, from now on.
    pub fn call(&self, action: &'static str) -> Span {
        self.span(Name::Call(action))
    }

    fn span(&self, name: Name) -> Span {
        let place = self.0.as_ref().map_or(0, |recording| recording.push(name));
        Span { recording: self.0.clone(), place }
    }

    /// A part of its own below the first span of this: it may outlive it. What such parts are for is worth keeping, and
    /// so is this.
    pub fn fork(&self, step: Step) -> Self {
        self.remark();
        Self(self.0.as_ref().map(|recording| {
            let place = Place {
                trace_id: recording.trace_id,
                parent: Some(recording.first),
                has_remote_parent: false,
                state: recording.state.clone(),
            };
            Recording::begin(&recording.worker, Name::Step(step), place, OUR_OWN)
        }))
    }

    /// A trace of its own that this has caused and does not wait for.
    pub fn follow(&self, step: Step) -> Self {
        Self(self.0.as_ref().map(|cause| {
            let trace_id = cause.worker.ids.trace();
            let place = Place { trace_id, parent: None, has_remote_parent: false, state: None };
            let recording = Recording::begin(&cause.worker, Name::Step(step), place, OUR_OWN);
            recording.at(0, |span| span.link = self.context());
            recording
        }))
    }

    /// Ends it now.
    pub fn end(&self) {
        if let Some(recording) = &self.0 {
            recording.hand_over();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Worth)) {
        if let Some(recording) = &self.0 {
            let mut worth = recording.worth.get();
            change(&mut worth);
            recording.worth.set(worth);
        }
    }
}

impl Span {
    /// Its id, for log lines; nothing where it is not recorded.
    pub fn id(&self) -> Option<SpanId> {
        let recording = self.recording.as_ref()?;
        recording.written.borrow().as_ref()?.spans.get(self.place).map(|span| span.id)
    }

    /// Says something of it.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(recording) = &self.recording {
            recording.note(self.place, key, value.into());
        }
    }

    /// Says something of it that is put together only where somebody reads it.
    pub fn note_with<V: Into<Value>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(recording) = &self.recording {
            recording.note(self.place, key, value().into());
        }
    }

    /// It has failed, for this kind of reason.
    pub fn fail(&self, kind: &'static str) {
        self.note("error.type", kind);
        if let Some(recording) = &self.recording {
            recording.at(self.place, |span| span.has_failed = true);
        }
    }

    /// It has to do with another, of another trace.
    pub fn link(&self, context: Option<SpanContext>) {
        if let Some(recording) = &self.recording {
            recording.at(self.place, |span| span.link = context);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(recording) = &self.recording {
            let now = recording.worker.clock.monotonic();
            recording.at(self.place, |span| span.ended = Some(now));
        }
    }
}

impl Recording {
    fn begin(worker: &Rc<Shared>, name: Name, place: Place, worth: Worth) -> Rc<Self> {
        let Place { trace_id, parent, has_remote_parent, state } = place;
        let (first, began) = (worker.ids.span(), worker.clock.monotonic());
        let mut written = worker.spare.borrow_mut().pop().unwrap_or_default();
        written.spans.push(SpanRecord { id: first, name, began, ended: None, has_failed: false, link: None });
        let (worth, written, worker) = (Cell::new(worth), RefCell::new(Some(written)), Rc::clone(worker));
        Rc::new(Self { worker, trace_id, first, parent, has_remote_parent, state, worth, written })
    }

    /// Begins a span, and says where it stands. What is begun after the end is lost.
    fn push(&self, name: Name) -> usize {
        let (id, began) = (self.worker.ids.span(), self.worker.clock.monotonic());
        match &mut *self.written.borrow_mut() {
            Some(written) => {
                written.spans.push(SpanRecord { id, name, began, ended: None, has_failed: false, link: None });
                written.spans.len() - 1
            }
            None => usize::MAX,
        }
    }

    fn at(&self, place: usize, change: impl FnOnce(&mut SpanRecord)) {
        if let Some(span) = self.written.borrow_mut().as_mut().and_then(|written| written.spans.get_mut(place)) {
            change(span);
        }
    }

    fn note(&self, span: usize, key: &'static str, value: Value) {
        if let Some(written) = &mut *self.written.borrow_mut() {
            written.attributes.push(Attribute { span, key, value });
        }
    }

    fn hand_over(&self) {
        let Some(mut written) = self.written.borrow_mut().take() else { return };
        let now = self.worker.clock.monotonic();
        written.end_at(now);
        match self.worker.sampler.borrow_mut().judge(self.worth.get(), now) {
            Fate::Kept => self.worker.queue.push(Part {
                trace_id: self.trace_id,
                parent: self.parent,
                has_remote_parent: self.has_remote_parent,
                state: self.state.clone(),
                spans: written.spans,
                attributes: written.attributes,
            }),
            Fate::PassedOver => self.worker.keep_for_next(written),
            Fate::Dropped => {
                Counters::add(&self.worker.queue.counts.dropped_rate, written.spans.len());
                self.worker.keep_for_next(written);
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(written) = self.written.get_mut()
            && matches!(written.spans[0].name, Name::Request(..))
        {
            written.attributes.push(Attribute { span: 0, key: "error.type", value: Value::Word(HUNG_UP) });
        }
        self.hand_over();
    }
}

impl Written {
    fn end_at(&mut self, now: Instant) {
        for span in &mut self.spans {
            span.ended.get_or_insert(now);
        }
    }
}

impl Shared {
    fn keep_for_next(&self, mut written: Written) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            written.spans.clear();
            written.attributes.clear();
            spare.push(written);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.context()).finish()
    }
}
