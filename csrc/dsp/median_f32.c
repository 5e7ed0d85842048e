#include <stdint.h>
#define REAL    float
#define KEY     uint32_t
#define PASSES  3
#define DIGIT   11
#define NAME(x) x##_f32
#include "median_impl.h"
