#include "ek_metric.h"

#define NAME(x) x##_ref
#include "signals_impl.h"
