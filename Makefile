# make demo: set up, train on drawn scenes, evaluate, draw pictures.  make test: all quick tests.
# make test-all: those and the slow ones.  make clients: PaddleOCR and RapidOCR on what is exported.  make quality: linters.
# make bench: times against PaddleOCR's, see benchmarks/README.md.
PYTHON ?= python3
BIN := .venv/bin
CLIENTS := .venv-clients
PEER_ENV := .venv-peer
BENCHES := label_maps training_sample postprocess $(if $(PEER),metric training_step evaluation startup)
DEMO := demo_output
DEMO_CONFIG := configs/det/det_mv3_db_synthetic.yml
ALL_KINDS := Eval.dataset.kinds=[horizontal,rotated,perspective,curved]

.PHONY: demo test test-all clients quality bench clean
.DELETE_ON_ERROR:

.venv/installed: requirements.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[synthetic,dev]'
	touch $@

demo: .venv/installed
	rm -rf $(DEMO)
	$(BIN)/python tools/train.py -c $(DEMO_CONFIG) -o Global.save_model_dir=$(DEMO)/run
	@echo "== held-out scenes of the kinds it trained on"
	$(BIN)/python tools/eval.py -c $(DEMO_CONFIG) -o Global.checkpoints=$(DEMO)/run/best_accuracy --json $(DEMO)/eval.json
	@echo "== held-out scenes of all kinds"
	$(BIN)/python tools/eval.py -c $(DEMO_CONFIG) -o Global.checkpoints=$(DEMO)/run/best_accuracy '$(ALL_KINDS)' \
	    --json $(DEMO)/eval_all_kinds.json
	$(BIN)/python tools/dump_dataset.py -c $(DEMO_CONFIG) -o '$(ALL_KINDS)' --number 12 --out $(DEMO)/scenes
	$(BIN)/python tools/infer_det.py -c $(DEMO_CONFIG) -o Global.checkpoints=$(DEMO)/run/best_accuracy \
	    Global.infer_img=$(DEMO)/scenes/pictures Global.save_res_path=$(DEMO)/predicts.txt
	@echo "Pictures to look at: $(DEMO)/det_results (found), $(DEMO)/scenes/drawn (labels), $(DEMO)/run/curves.png"

test: .venv/installed
	$(BIN)/python -m pytest

test-all: test
	$(BIN)/python -m pytest -m slow

$(CLIENTS)/installed: tests/clients/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

clients: .venv/installed $(CLIENTS)/installed
	$(BIN)/python tests/clients/compare.py --python $(CLIENTS)/bin/python $(if $(PICTURES),--pictures $(PICTURES))

quality: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(PEER_ENV)/installed: benchmarks/peer-requirements.txt
	$(PYTHON) -m venv $(PEER_ENV)
	$(PEER_ENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	$(PEER_ENV)/bin/pip install --quiet --disable-pip-version-check --no-deps paddleocr==2.10.0
	touch $@

bench: .venv/installed $(PEER_ENV)/installed
	for subject in $(BENCHES); do \
	    $(BIN)/python benchmarks/$$subject.py $(if $(PEER),--peer $(PEER)) $(if $(RESULTS),--write $(RESULTS)) || exit 1; \
	done

clean:
	rm -rf .venv $(CLIENTS) $(PEER_ENV) $(DEMO) build *.egg-info
