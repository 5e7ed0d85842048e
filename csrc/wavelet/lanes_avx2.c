#define LANES 8
#define NAME  ek_lane_rows_avx2
#include "lanes_impl.h"
