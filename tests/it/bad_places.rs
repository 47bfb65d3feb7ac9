use super::damage::Job;
pub(crate) const JOBS: &[Job] = &[];
