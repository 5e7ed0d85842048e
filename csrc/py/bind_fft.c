/* The FFT plan cache as seen from Python. */
#include "ekpy.h"
#include "ek_fft.h"
#include <stdlib.h>

static PyObject *py_fft_effort(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "fft_effort", {"effort", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    size_t effort = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[0], "effort", 0, &effort) < 0)
        return NULL;
    return PyLong_FromLong(ek_fft_effort(effort != 0));
}

static PyObject *py_fft_cache(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "fft_cache", {"clear", NULL},
         0
    };
    PyObject *a[EKPY_MAX_ARGS];
    int clear = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_bool(&sig, a[0], "clear", &clear) < 0)
        return NULL;
    if (clear) ek_fft_cache_clear();
    return Py_BuildValue("(ni)", (Py_ssize_t)ek_fft_cache_count(), (int)EK_FFT_CACHE_LIMIT);
}

/* wisdom given: import it; else export. */
static PyObject *py_fft_wisdom(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {
        "fft_wisdom", {"dtype", "wisdom", NULL},
         1
    };
    static const char *const types[] = {"float32", "float64", NULL};
    PyObject *a[EKPY_MAX_ARGS], *text = NULL;
    int type = EK_FFT_F32;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 ||
        ekpy_choice(&sig, a[0], "dtype", types, &type) < 0)
        return NULL;
    if (a[1] == NULL) {
        char *wisdom = NULL;
        const ek_status st = ek_fft_wisdom_export((ek_fft_type)type, &wisdom);
        if (st != EK_OK)
            ekpy_raise(st, &sig);
        else
            text = PyUnicode_FromString(wisdom);
        free(wisdom);
        return text;
    }
    if (!PyUnicode_Check(a[1])) {
        PyErr_Format(PyExc_TypeError, "fft_wisdom: wisdom must be a string, got %R",
                     (PyObject *)Py_TYPE(a[1]));
        return NULL;
    }
    if ((text = PyUnicode_AsASCIIString(a[1])) == NULL) return NULL;
    const ek_status st = ek_fft_wisdom_import((ek_fft_type)type, PyBytes_AsString(text));
    Py_DECREF(text);
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef ekpy_fft_methods[] = {
    EKPY_METHOD("fft_effort", py_fft_effort),
    EKPY_METHOD("fft_cache", py_fft_cache),
    EKPY_METHOD("fft_wisdom", py_fft_wisdom),
    {NULL, NULL, 0, NULL},
};
