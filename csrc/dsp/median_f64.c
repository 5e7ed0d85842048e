#include <stdint.h>
#define REAL    double
#define KEY     uint64_t
#define PASSES  6
#define DIGIT   11
#define NAME(x) x##_f64
#include "median_impl.h"
