"""The SQL of a selector: the devices that `selectors.matches` finds, found by the database."""

from typing import Any, assert_never

from sqlalchemy import ColumnElement, Exists, and_, exists, false, not_, or_, true
from sqlmodel import col

from cloud_hub.devices.selectors import COMPARED, Agent, AllOf, AnyOf, Cohort, Has, Label, Model, Not, Selector, Target
from cloud_hub.devices.tables import Device, DeviceLabel, DeviceModel
from cloud_hub.devices.versions import order_of
from fleet_contract.desired import DEFAULT_SLOT


def selected(selector: Selector) -> ColumnElement[bool]:
    """The condition on `Device` for those that `selector`, whose cohorts are written out, means. It is never NULL."""
    match selector:
        case Label(key, values):
            return _labelled(key).where(_among(col(DeviceLabel.value), values))
        case Has(key):
            return _labelled(key)
        case Target(values):
            return _among(col(Device.target), values)
        case Agent(comparison, version):
            order = col(Device.agent_order)
            return and_(order.is_not(None), COMPARED[comparison](order, order_of(version)))
        case Model(model, comparison, version):
            return exists().where(
                col(DeviceModel.device) == col(Device.id),
                col(DeviceModel.model) == model,
                col(DeviceModel.slot) == DEFAULT_SLOT,
                COMPARED[comparison](col(DeviceModel.running_version), version),
            )
        case Not(part):
            return not_(selected(part))
        case AllOf(parts):
            return and_(true(), *map(selected, parts))
        case AnyOf(parts):
            return or_(false(), *map(selected, parts))
        case Cohort(name):
            raise AssertionError(f"cohort {name} is not written out")
        case _ as never:
            assert_never(never)


def _labelled(key: str) -> Exists:
    return exists().where(col(DeviceLabel.device) == col(Device.id), col(DeviceLabel.key) == key)


def _among(column: Any, values: tuple[str, ...]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column == values[0] if len(values) == 1 else column.in_(values)
    return condition
