#define EKPY_IMPORT_ARRAY
#include "ekpy.h"
#include "ek_linalg.h"

static int import_numpy(void) {
    import_array1(-1);
    return 0;
}

static int exec_module(PyObject *mod) {
    PyMethodDef *const tables[] = {ekpy_core_methods,
                                   ekpy_dsp_methods,
                                   ekpy_filter_methods,
                                   ekpy_beats_methods,
                                   ekpy_waves_methods,
                                   ekpy_hrv_methods,
                                   ekpy_median_methods,
                                   ekpy_fft_methods,
                                   ekpy_wavelet_methods,
                                   ekpy_nn_methods,
                                   ekpy_io_methods,
                                   ekpy_metric_methods,
                                   ekpy_metric_decisions_methods,
                                   ekpy_metric_curve_methods,
                                   ekpy_metric_gaussian_methods,
                                   ekpy_metric_signal_methods,
                                   ekpy_lora_methods,
                                   ekpy_proto_methods};
    if (import_numpy() < 0) return -1;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (PyModule_AddFunctions(mod, tables[i]) < 0) return -1;
    ek_linalg_init();
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec_module},
    {0,           NULL               }
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "ecgkit._core",
    .m_doc = "The C kernels of ecgkit. Private: use the functions of ecgkit's modules.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
