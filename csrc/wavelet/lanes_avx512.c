#define LANES 16
#define NAME  ek_lane_rows_avx512
#include "lanes_impl.h"
