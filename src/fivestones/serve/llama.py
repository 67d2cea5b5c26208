"""llama.cpp's own HTTP server, by xllamacpp: `python llama.py --model FILE --name NAME --port N ...`.

A key that clients must show is taken from the environment, where other users of the machine cannot read it.
Needs nothing but xllamacpp, and any interpreter that has it runs this file.
"""

from __future__ import annotations

import argparse
import os
import signal

KEY = "FIVESTONES_SERVER_KEY"


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", required=True, help="a .gguf file")
    made.add_argument("--name", required=True, help="that clients ask for")
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, required=True)
    made.add_argument("--context", type=int, required=True, help="tokens of each request")
    made.add_argument("--parallel", type=int, required=True, help="requests at once")
    made.add_argument("--threads", type=int, required=True)
    made.add_argument("--layers", type=int, default=0, help="of the model, on a GPU")
    args = made.parse_args()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.name}
    params.hostnames, params.port = [args.host], args.port
    params.n_parallel, params.n_ctx = args.parallel, args.parallel * args.context  # shared out among them
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    params.n_gpu_layers = args.layers
    params.cache_ram_mib = 0  # prompts kept beside the slots: up to 8 GB by default
    params.ui = params.endpoint_slots = False
    params.api_keys = [os.environ[KEY]]
    params.cors_origins, params.cors_credentials = f"http://{args.host}:{args.port}", False  # else any
    server = xllamacpp.Server(params)  # loads the model, then listens
    print(f"listening on {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
