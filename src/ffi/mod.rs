//! The C ABI of `include/sprat.h`: converts, checks, calls.
