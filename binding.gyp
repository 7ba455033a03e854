{
  "targets": [
    {
      "target_name": "sop",
      "sources": [
        "native/addon.cc",
        "native/aligned_buffer.cc",
        "native/async_worker.cc",
        "native/commit_log_thread.cc",
        "native/crc32c.cc",
        "native/file.cc",
        "native/random.cc",
        "native/status.cc"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_GYP_MODULE_NAME=sop"],
      "conditions": [
        ["OS=='win'", {
          "libraries": ["bcrypt.lib"],
          "sources": ["native/file_windows.cc", "native/file_lock_windows.cc"],
          "defines": ["UNICODE", "_UNICODE", "NOMINMAX", "WIN32_LEAN_AND_MEAN"],
          "msvs_settings": {
            "VCCLCompilerTool": { "ExceptionHandling": 1, "AdditionalOptions": ["/std:c++20", "/utf-8"] }
          }
        }, {
          "sources": ["native/file_posix.cc", "native/file_lock_posix.cc"],
          "cflags": ["-Wall", "-Wextra", "-fvisibility=hidden", "-fno-plt"],
          "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
          "cflags_cc": ["-std=c++20", "-fexceptions", "-D_GNU_SOURCE"]
        }],
        ["OS=='linux'", {
          "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,-s",
                      "-Wl,--version-script=<(module_root_dir)/native/exports.map"]
        }],
        ["OS=='mac'", {
          "xcode_settings": {
            "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
            "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
            "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
            "MACOSX_DEPLOYMENT_TARGET": "11.0"
          }
        }]
      ]
    }
  ]
}
