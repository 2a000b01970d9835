# make demo: set up, train on drawn scenes, evaluate, draw pictures.  make test: all quick tests.
# make test-all: those and the slow ones.  make clients: PaddleOCR and RapidOCR on what is exported.  make quality: linters.
# make finetune: fine-tune PP-OCRv6 small on drawn scenes, hmean before and after, pictures.
# make bench: times against PaddleOCR's, see benchmarks/README.md.
PYTHON ?= python3
BIN := .venv/bin
CLIENTS := .venv-clients
PEER_ENV := .venv-peer
BENCHES := label_maps training_sample postprocess switches $(if $(PEER),metric training_step evaluation startup)
DEMO := demo_output
DEMO_CONFIG := configs/det/det_mv3_db_synthetic.yml
FINETUNE := finetune_output
FINETUNE_CONFIG := configs/det/finetune_synthetic.yml
ALL_KINDS := Eval.dataset.kinds=[horizontal,rotated,perspective,curved]

.PHONY: demo finetune test test-all clients quality bench clean
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

# Of rapidocr's package the file with the weights is read alone, so nothing that its code needs is installed.
finetune: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'rapidocr>=3.10'
	rm -rf $(FINETUNE)
	$(BIN)/python tools/import_weights.py -c $(FINETUNE_CONFIG) --from package:rapidocr --out $(FINETUNE)/weights
	@echo "== before"
	$(BIN)/python tools/eval.py -c $(FINETUNE_CONFIG) --engine paddle -o Global.checkpoints=$(FINETUNE)/weights \
	    --json $(FINETUNE)/before.json
	$(BIN)/python tools/train.py -c $(FINETUNE_CONFIG) -o Global.pretrained_model=$(FINETUNE)/weights \
	    Global.save_model_dir=$(FINETUNE)/run
	@echo "== after"
	$(BIN)/python tools/eval.py -c $(FINETUNE_CONFIG) --engine paddle -o Global.checkpoints=$(FINETUNE)/run/best_accuracy \
	    --json $(FINETUNE)/after.json
	$(BIN)/python tools/dump_dataset.py -c $(FINETUNE_CONFIG) --number 12 --out $(FINETUNE)/scenes
	$(BIN)/python tools/infer_det.py -c $(FINETUNE_CONFIG) -o Global.checkpoints=$(FINETUNE)/run/best_accuracy \
	    Global.infer_img=$(FINETUNE)/scenes/pictures Global.save_res_path=$(FINETUNE)/predicts.txt
	@echo "Pictures to look at: $(FINETUNE)/det_results (found), $(FINETUNE)/scenes/drawn (labels), $(FINETUNE)/run/curves.png"

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
	rm -rf .venv $(FINETUNE) $(CLIENTS) $(PEER_ENV) $(DEMO) build *.egg-info
