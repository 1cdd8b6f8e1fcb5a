//! One schedule: who runs next, who dies, how time passes, until nothing is left to do.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use fluxus_schema::Tenant;
use fluxus_schema::message::CoreMessage;
use fluxus_store::claim::Intake;

use super::chance::{Chance, mix};
use super::check;
use super::fluxling::{Act, fluxling};
use super::process::{Process, grace, millis};
use super::recipe::{Workload, workload};
use super::world::{CORE, Faults, Footing, Met, Mutation, Shared, World};
use crate::Sweeps;
use crate::recipes::Recipes;

/// How far the clock of a process may be from the others': all go by the database's, and one that was
/// set is noticed within a second (`fluxus_store::clock`).
pub(super) const MAX_SKEW_MS: i64 = 3_000;

/// When each schedule begins, in milliseconds since 1970.
pub(super) const BEGAN_AT: i64 = 1_700_000_000_000;

/// Decisions after which a schedule counts as one that never ends: those that do take far fewer.
const MAX_STEPS: usize = 50_000;

/// How much time may pass at once though there is something to do: more than any visibility timeout
/// of the core.
const HASTE: i64 = 20_000;

/// Least time between two sweeps, in milliseconds.
const SWEEP_PAUSE: i64 = 50;

/// Least time between two sweeps that look for what no time is known of.
const LOOK_PAUSE: i64 = 1_000;

/// How a schedule is to be run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) mutation: Option<Mutation>,
    /// Whether its story is kept.
    pub(super) traced: bool,
    /// Kinds of faults that are left out, by their names.
    pub(super) without: Without,
}

/// Kinds of faults, each with whether it is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Without(u8);

impl Without {
    pub(super) const NAMES: [&'static str; 7] =
        ["crash", "transient", "lost-answer", "duplicate", "clumsy", "wild", "skew"];

    pub(super) fn has(self, name: &str) -> bool {
        Self::NAMES.iter().position(|one| *one == name).is_some_and(|at| self.0 & (1 << at) != 0)
    }

    pub(super) fn with(self, name: &str) -> Self {
        let at = Self::NAMES.iter().position(|one| *one == name);
        Self(self.0 | at.map_or(0, |at| 1 << at))
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        Self::NAMES.into_iter().filter(|name| self.has(name)).collect()
    }
}

/// What came of a schedule.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    /// What is wrong; nothing where all is sound.
    pub(super) violations: Vec<String>,
    /// Decisions that were made.
    pub(super) steps: usize,
    pub(super) story: Vec<String>,
    /// What happened, and how often.
    pub(super) met: Met,
}

/// Runs the schedule of a seed, and checks what came of it.
pub(super) fn run(seed: u64, options: Options) -> Report {
    let calm = mix(seed) & 1 == 0;
    let mut chance = Chance::new(seed);
    let workload = workload(&mut chance, calm, BEGAN_AT);
    let recipes = Rc::new(Recipes::default());
    // What a claim is to come to, where that depends on nothing but its recipe.
    let expected = calm.then(|| {
        let mut quiet = Schedule::quiet(chance.clone(), &workload, &recipes);
        quiet.drive();
        check::told(&quiet.world.borrow())
    });
    // Most processes know the recipes already; some compile them anew, with room for one.
    let narrow = || Rc::new(Recipes::keeping(NonZeroUsize::MIN));
    let recipes = if chance.one_in(8) { narrow() } else { recipes };
    let mut schedule = Schedule::disturbed(chance, &workload, &recipes, calm, options);
    schedule.drive();
    let Schedule { world, futures, steps, .. } = schedule;
    // What is left of a schedule that does not end holds on to the world.
    drop(futures);
    let mut world = world.borrow_mut();
    check::check(&mut world, &workload, expected.as_ref());
    Report {
        violations: std::mem::take(&mut world.violations),
        steps,
        story: world.trace.take().unwrap_or_default(),
        met: std::mem::take(&mut world.met),
    }
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

struct Schedule {
    world: Shared,
    processes: Vec<Rc<Process>>,
    futures: Vec<Option<Running>>,
    /// The first so many processes are workers, the others sweep.
    workers: usize,
    swept_at: Vec<i64>,
    crash: usize,
    /// The decision after which nothing goes wrong any more.
    faulty_until: usize,
    steps: usize,
}

enum Choice {
    Poll(usize),
    Start(usize),
    Serve,
    Act,
}

impl Schedule {
    /// One worker and one sweep, and nothing goes wrong.
    fn quiet(chance: Chance, workload: &Workload, recipes: &Rc<Recipes>) -> Self {
        let world = World::new(chance, BEGAN_AT, Footing::Joined, Faults::default());
        Self::new(world, workload, recipes, (&[0], &[0]), 0)
    }

    fn disturbed(
        mut chance: Chance,
        workload: &Workload,
        recipes: &Rc<Recipes>,
        calm: bool,
        options: Options,
    ) -> Self {
        let footings = [Footing::Joined, Footing::Relayed, Footing::Scheduled];
        let footing = footings[chance.below(footings.len())];
        let Options { mutation, traced, without } = options;
        let mut rate = |name: &str, most: usize| match chance.below(4) {
            0 => 0,
            _ if without.has(name) => 0,
            1 => most / 2,
            _ => most,
        };
        let mut faults = Faults {
            crash: rate("crash", 60),
            transient: rate("transient", 40),
            lost_answer: rate("lost-answer", 8),
            duplicate: rate("duplicate", 6),
            clumsy: rate("clumsy", 4),
            wild: rate("wild", 6),
        };
        if calm {
            faults.wild = 0;
        }
        let is_skewed = chance.one_in(2) && !without.has("skew");
        let mut skew = || if is_skewed { chance.between(-MAX_SKEW_MS, MAX_SKEW_MS) } else { 0 };
        let workers: Vec<i64> = (0..3).map(|_| skew()).collect();
        let sweeps: Vec<i64> = (0..2).map(|_| skew()).collect();
        let workers = &workers[..1 + chance.below(3)];
        let sweeps = &sweeps[..1 + chance.below(2)];
        let until = chance.between(50, 800);
        let mut world = World::new(chance, BEGAN_AT, footing, faults);
        world.mutation = mutation;
        world.trace = traced.then(Vec::new);
        world.note(|| format!("{footing:?}, {faults:?}, clocks {workers:?} {sweeps:?}"));
        let until = usize::try_from(until).unwrap_or_default();
        if !calm {
            world.expect_operators();
        }
        Self::new(world, workload, recipes, (workers, sweeps), until)
    }

    fn new(
        mut world: World,
        workload: &Workload,
        recipes: &Rc<Recipes>,
        (workers, sweeps): (&[i64], &[i64]),
        faulty_until: usize,
    ) -> Self {
        let Workload { routes, definitions, claims, has_latecomer, .. } = workload;
        world.note(|| definitions.first().map(|one| one.definition.clone()).unwrap_or_default());
        world.note(|| definitions.get(1).map(|one| one.definition.clone()).unwrap_or_default());
        world.tables.routes.clone_from(routes);
        world.tables.definitions.clone_from(definitions);
        world.register(Tenant::default(), fluxling("worker", &["work", "ask"]));
        world.register(Tenant::default(), fluxling("other", &["work"]));
        if *has_latecomer && (faulty_until == 0 || world.faults.wild == 0 || !world.chances(3)) {
            let late = Act::Register(Tenant::default(), Box::new(fluxling("late", &["late"])));
            let at = BEGAN_AT + world.chance.between(0, 30_000);
            world.act(at, late);
        }
        for intake in claims {
            // Only where API and core may be one process, and so the queue is in the database.
            if world.footing == Footing::Joined && world.chances(2) {
                world.coming.push(intake.clone());
            } else {
                world.take_in(intake);
            }
        }
        let crash = world.faults.crash;
        let world = Rc::new(std::cell::RefCell::new(world));
        let skews = workers.iter().chain(sweeps);
        let process = |skew: &i64| Rc::new(Process::new(world.clone(), *skew, recipes.clone()));
        let processes: Vec<_> = skews.map(process).collect();
        Self {
            futures: processes.iter().map(|_| None).collect(),
            swept_at: vec![BEGAN_AT; processes.len()],
            workers: workers.len(),
            world,
            processes,
            crash,
            faulty_until,
            steps: 0,
        }
    }

    /// Runs until nothing is left to do.
    fn drive(&mut self) {
        while self.steps < MAX_STEPS {
            self.steps += 1;
            if self.steps == self.faulty_until {
                self.crash = 0;
                let mut world = self.world.borrow_mut();
                world.faults = Faults::default();
                world.note(|| "nothing goes wrong from now on".to_owned());
            }
            if !self.decide() {
                return;
            }
        }
        let mut world = self.world.borrow_mut();
        world.violation(format!("there is no rest after {MAX_STEPS} decisions"));
    }

    /// Makes one decision; false if there is none to make.
    fn decide(&mut self) -> bool {
        let choices = self.choices();
        if choices.is_empty() {
            let next_at = self.next_at();
            let mut world = self.world.borrow_mut();
            // A person does not wait until claims run out of time.
            if world.redrive() {
                return true;
            }
            return next_at.is_some_and(|at| {
                world.now = at;
                true
            });
        }
        let (hastens, choice) = {
            let mut world = self.world.borrow_mut();
            let hastens = self.steps < self.faulty_until && world.chances(20);
            (hastens, &choices[world.chance.below(choices.len())])
        };
        if hastens {
            let next_at = self.next_at();
            let mut world = self.world.borrow_mut();
            let haste = world.now + world.chance.between(0, HASTE);
            world.now = next_at.map_or(haste, |at| at.clamp(world.now, haste));
            return true;
        }
        match choice {
            Choice::Poll(process) => self.poll(*process),
            Choice::Start(process) => self.start(*process),
            Choice::Serve => self.world.borrow_mut().serve(),
            Choice::Act => self.world.borrow_mut().do_act(),
        }
        true
    }

    fn choices(&self) -> Vec<Choice> {
        let world = self.world.borrow();
        let mut choices = Vec::new();
        let has_core = world.queues.ready(|queue| *queue == *CORE, world.now).next().is_some();
        for (process, future) in self.futures.iter().enumerate() {
            if future.is_some() {
                let tx = world.transactions.get(&process);
                if !tx.is_some_and(|tx| world.locks.is_waiting(*tx)) {
                    choices.push(Choice::Poll(process));
                }
            } else if process < self.workers {
                if has_core || !world.coming.is_empty() {
                    choices.push(Choice::Start(process));
                }
            } else if self.sweep_at(&world, process).is_some_and(|at| at <= world.now) {
                choices.push(Choice::Start(process));
            }
        }
        if world.queues.ready(|queue| *queue != *CORE, world.now).next().is_some() {
            choices.push(Choice::Serve);
        }
        if world.acts.first_key_value().is_some_and(|((at, _), _)| *at <= world.now) {
            choices.push(Choice::Act);
        }
        choices
    }

    /// When there will be something to do, as far as is known.
    fn next_at(&self) -> Option<i64> {
        let world = self.world.borrow();
        let messages = world.queues.messages.values().map(|message| message.visible_at);
        let acts = world.acts.first_key_value().map(|((at, _), _)| *at);
        let sweeps = (self.workers..self.processes.len())
            .filter_map(|process| self.sweep_at(&world, process));
        messages.chain(acts).chain(sweeps).filter(|at| *at > world.now).min()
    }

    /// When a process should sweep next; never where there is nothing to sweep.
    fn sweep_at(&self, world: &World, process: usize) -> Option<i64> {
        let skew = self.processes[process].skew;
        let swept_at = self.swept_at[process];
        let ahead = millis(world.footing.sweeps().ahead());
        let due = world.tables.timers.values().map(|timer| timer.due_at.as_millis()).min();
        let due = due.map(|due| (due - skew - ahead).max(swept_at + SWEEP_PAUSE));
        let unsent = world.tables.outbox.values().map(|one| one.created_at.as_millis()).min();
        let unsent = unsent.map(|at| (at + grace() + 1 - skew).max(swept_at + SWEEP_PAUSE));
        let looks = world.has_unserved() || !world.queues.unreported().is_empty();
        let looks = looks.then_some(swept_at + LOOK_PAUSE);
        let next = [due, unsent, looks].into_iter().flatten().min()?;
        Some(match world.footing.sweeps() {
            Sweeps::WhenDue => next,
            Sweeps::Every(rhythm) => next.max(swept_at + millis(rhythm)),
        })
    }

    fn start(&mut self, index: usize) {
        let process = self.processes[index].clone();
        let is_worker = index < self.workers;
        self.swept_at[index] = self.world.borrow().now;
        self.world.borrow_mut().transactions.remove(&index);
        let future: Running =
            if is_worker { Box::pin(process.work()) } else { Box::pin(process.sweep()) };
        self.futures[index] = Some(future);
        self.poll(index);
    }

    fn poll(&mut self, index: usize) {
        let Some(future) = &mut self.futures[index] else { return };
        let dies = {
            let mut world = self.world.borrow_mut();
            world.running = index;
            let dies = world.chance.one_in(self.crash);
            if dies {
                world.note(|| "DIES".to_owned());
                world.meets("death");
            }
            dies
        };
        let has_ended =
            dies || future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if has_ended {
            self.futures[index] = None;
        }
    }
}

impl World {
    /// Takes a claim in as the API does without a core: one that is known is only told of again.
    pub(super) fn take_in(&mut self, intake: &Intake) {
        let claim_id = intake.claim_id;
        self.note(|| format!("claim {claim_id} of {} {}", intake.tenant, intake.claim.body));
        self.tables.claims.entry(claim_id).or_insert_with(|| Rc::new(intake.row()));
        self.tell(&CoreMessage::ClaimSubmitted { claim_id });
    }

    /// Whether a task waits that somebody would take.
    fn has_unserved(&self) -> bool {
        let unserved = self.tables.branches.values().filter_map(|row| row.unserved.as_ref());
        let mut offered = unserved.filter(|capability| {
            let manifests = self.registered.iter().map(|(_, fluxling)| &fluxling.manifest);
            manifests.flat_map(|one| &one.capabilities).any(|one| one.name == **capability)
        });
        offered.next().is_some()
    }

    /// Puts messages to the core back that came too often while things went wrong, as a person
    /// would, or has them sent again as well; false if there are none.
    fn redrive(&mut self) -> bool {
        if !self.queues.dead.is_empty() && self.chances(2) {
            self.send_dead_letters();
        }
        let before = self.queues.messages.len();
        let is_good = |body: &str| serde_json::from_str::<CoreMessage>(body).is_ok();
        self.queues.redrive(&CORE, is_good);
        let has_some = self.queues.messages.len() > before;
        if has_some {
            self.note(|| "what died is put back".to_owned());
            self.meets("message that is put back");
        }
        has_some
    }
}
