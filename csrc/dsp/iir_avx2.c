/* Four rows per vector. Gain: benchmarks/signal.py. Built without fused multiply-add
 * (CMakeLists.txt): a high-order filter in b, a form keeps six digits, and they must be SciPy's. */
#define W       4
#define IIR_RUN iir_run_avx2
#include "iir_lanes.h"
