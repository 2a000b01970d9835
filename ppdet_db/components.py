"""The one list of built-in components: importing a module registers what it defines."""

import ppdet_db.data.dataset
import ppdet_db.data.synthetic
import ppdet_db.data.transforms
import ppdet_db.losses.db_loss
import ppdet_db.metrics.det_metric
import ppdet_db.modeling.backbones.mobilenet_v3
import ppdet_db.modeling.backbones.pp_hgnet
import ppdet_db.modeling.backbones.pp_hgnet_v2
import ppdet_db.modeling.backbones.pp_lcnet
import ppdet_db.modeling.backbones.pp_lcnet_v3
import ppdet_db.modeling.backbones.pp_lcnet_v4
import ppdet_db.modeling.backbones.rep_svtr
import ppdet_db.modeling.backbones.resnet
import ppdet_db.modeling.backbones.resnet_vd
import ppdet_db.modeling.heads.db_head
import ppdet_db.modeling.heads.pf_head_local
import ppdet_db.modeling.necks.db_fpn
import ppdet_db.modeling.necks.lk_pan
import ppdet_db.modeling.necks.rep_lk_fpn
import ppdet_db.modeling.necks.rep_lk_pan
import ppdet_db.modeling.necks.rse_fpn
import ppdet_db.optimizer.optimizers
import ppdet_db.optimizer.regularizers
import ppdet_db.optimizer.schedules
import ppdet_db.postprocess.db_postprocess  # noqa: F401
