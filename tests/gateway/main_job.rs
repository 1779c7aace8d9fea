//! main_job
