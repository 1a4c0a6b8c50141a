// One exported five-point stencil sweep without a C library: what snapshot tests of generated code compile.
__attribute__((export_name("stencil"))) void stencil(int n, double *out, const double *in) {
    for (int i = 1; i < n - 1; i++) {
        for (int j = 1; j < n - 1; j++) {
            out[i * n + j] = 0.2 * (in[i * n + j] + in[i * n + j - 1] + in[i * n + j + 1] + in[(i - 1) * n + j] +
                                    in[(i + 1) * n + j]);
        }
    }
}
