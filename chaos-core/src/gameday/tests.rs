//! Game days in a simulated cluster, with crashes at every point, and every rule of their calendar.

mod budget;
mod calendar;
mod simulation;
mod size;
mod steps;
mod world;
