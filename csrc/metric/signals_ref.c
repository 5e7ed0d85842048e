#include "ek_metric.h"
#include <string.h>

#define NAME(x) x##_ref
#define BYTES   16
#include "signals_impl.h"
