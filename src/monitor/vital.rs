//! Panics: each is counted, and one in a task that the monitor cannot do without ends it.

use std::{
    panic::{self, AssertUnwindSafe},
    thread,
};

use futures_util::FutureExt;

use super::Telemetry;

impl Telemetry {
    /// Counts every panic of this process from now on, in whatever task or thread it is. For a program: it is told once for all of it.
    pub fn count_panics(&self) {
        let (panics, before) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |panicked| {
            panics.task_panicked();
            let place = panicked.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, thread = thread::current().name(), "a task panicked: a fault of this program");
            before(panicked);
        }));
    }

    /// A task that the monitor cannot do without. Where it panics, the rest would go on and show for ever what was known by then:
    /// [`lost`](Self::lost) tells its name, so that all ends and is started again.
    pub fn vital<T>(&self, name: &'static str, task: T) -> impl Future<Output = ()> + Send + use<T>
    where
        T: Future<Output = ()> + Send,
    {
        let telemetry = self.clone();
        async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                telemetry.lose(name);
            }
        }
    }

    /// Waits until a task is lost that the monitor cannot do without; its name.
    pub async fn lost(&self) -> &'static str {
        let mut lost = self.losses();
        loop {
            if let Some(name) = *lost.borrow_and_update() {
                return name;
            }
            if lost.changed().await.is_err() {
                // Nobody is left who could lose one.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn panics(telemetry: &Telemetry) -> f64 {
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == "smtptls_task_panics_total").unwrap();
        family.get_metric()[0].get_counter().get_value()
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_is_told_and_one_that_ends_is_not() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.vital("the good one", async {}).await;
        let lost = timeout(Duration::from_millis(50), telemetry.lost()).await;
        assert!(lost.is_err(), "{lost:?}");
        tokio::spawn(telemetry.vital("the broken one", async { panic!("it breaks") })).await.unwrap();
        assert_eq!(telemetry.lost().await, "the broken one");
        assert_eq!(telemetry.clone().lost().await, "the broken one", "also for who asks later");
    }

    /// The hook is one for the whole process, in which other tests may panic as well: no more than "at least" can be said.
    #[tokio::test]
    async fn every_kind_of_task_is_counted() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.count_panics();
        let before = panics(&telemetry);
        assert!(tokio::spawn(async { panic!("a task") }).await.is_err());
        assert!(panics(&telemetry) >= before + 1.0);
        assert!(tokio::task::spawn_blocking(|| panic!("work on a thread of its own")).await.is_err());
        assert!(panics(&telemetry) >= before + 2.0);
        assert!(thread::spawn(|| panic!("a thread")).join().is_err());
        assert!(panics(&telemetry) >= before + 3.0);
        assert!(AssertUnwindSafe(async { panic!("one that is caught") }).catch_unwind().await.is_err());
        assert!(panics(&telemetry) >= before + 4.0);
    }
}
